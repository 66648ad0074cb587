#include "kernels/cuda/group.hpp"

#include <algorithm>
#include <vector>

#include "kernels/cuda/pointwise.hpp"

namespace raincell::kernels::cuda {

Group::Group(Device& device, const std::string& id, int rank, int size, std::int64_t count)
    : device_(device),
      rank_(rank),
      size_(size),
      slice_((count + size - 1) / size),
      parts_(device, "parts of a sum over ranks"),
      sums_(device, "slice of a sum over ranks"),
      all_(device, "slices of a sum over ranks"),
      nccl_(id, rank, size, device.stream()) {
  const auto bytes = static_cast<std::size_t>(slice_) * sizeof(float);
  parts_.reserve(bytes * static_cast<std::size_t>(size));
  sums_.reserve(bytes);
  all_.reserve(bytes * static_cast<std::size_t>(size));
}

void Group::sum(View values) {
  const std::int64_t count = values.shape.elements(), slice = (count + size_ - 1) / size_;
  if (values.dtype != DType::f32 || slice > slice_)
    throw std::logic_error("DeviceGroup::sum: values are not f32, or more than the group was made for");
  auto* const own = static_cast<float*>(values.memory);
  auto* const parts = static_cast<float*>(parts_.memory());
  auto* const sums = static_cast<float*>(sums_.memory());
  auto* const all = static_cast<float*>(all_.memory());
  const auto first = [&](int rank) { return std::min(count, slice * rank); };
  const auto length = [&](int rank) { return static_cast<std::size_t>(first(rank + 1) - first(rank)); };
  std::vector<Nccl::Piece> sent, received;
  for (int rank = 0; rank < size_; ++rank) {
    if (length(rank) > 0) sent.push_back({own + first(rank), length(rank), rank});
    if (length(rank_) > 0) received.push_back({parts + slice * rank, length(rank_), rank});
  }
  nccl_.exchange(sent, received);
  sum_rows(device_.stream(), size_, slice, parts, sums);
  nccl_.gather(sums, static_cast<std::size_t>(slice), all);
  device_.copy(own, all, static_cast<std::size_t>(count) * sizeof(float));
}

}  // namespace raincell::kernels::cuda
