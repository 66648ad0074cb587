#include "kernels/cuda/group.hpp"

#include <algorithm>
#include <vector>

#include "kernels/cuda/pointwise.hpp"

namespace raincell::kernels::cuda {

Group::Group(Device& device, const std::string& id, int rank, int size)
    : device_(device),
      rank_(rank),
      size_(size),
      nccl_(id, rank, size, device.stream()),
      parts_(device, "parts of a sum over ranks"),
      sums_(device, "slice of a sum over ranks"),
      all_(device, "slices of a sum over ranks") {}

void Group::sum(View values) {
  if (values.dtype != DType::f32) throw std::logic_error("DeviceGroup::sum: values are not f32");
  const std::int64_t count = values.shape.elements(), slice = (count + size_ - 1) / size_;
  const auto bytes = static_cast<std::size_t>(slice) * sizeof(float);
  auto* const own = static_cast<float*>(values.memory);
  auto* const parts = static_cast<float*>(parts_.reserve(bytes * static_cast<std::size_t>(size_)));
  auto* const sums = static_cast<float*>(sums_.reserve(bytes));
  auto* const all = static_cast<float*>(all_.reserve(bytes * static_cast<std::size_t>(size_)));
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
