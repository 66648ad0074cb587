#include "io/transform.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

namespace raincell::io {
namespace {

double number_of(const std::string& text, const std::string& whole) {
  double value = 0.;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    throw DataError("transform \"" + whole + "\": \"" + text + "\" is not a number");
  }
  return value;
}

}  // namespace

float Transform::to_network(float physical) const {
  if (!(physical > 0.F) && !(quantity == Quantity::reflectivity && physical != 0.F))
    return 0.F;  // dry or missing
  if (std::isnan(physical)) return 0.F;
  const double value = physical;
  double network = 0.;
  switch (kind) {
    case TransformKind::dbz: {
      const double dbz =
          quantity == Quantity::reflectivity ? value : 10. * (std::log10(zr_a) + zr_b * std::log10(value));
      network = (std::clamp(dbz, floor_dbz, ceiling_dbz) - floor_dbz) / (ceiling_dbz - floor_dbz);
      break;
    }
    case TransformKind::log_eps:
      network = std::log1p(std::max(value, 0.) / epsilon) / std::log1p(max_value / epsilon);
      break;
    case TransformKind::linear:
      network = std::max(value, 0.) / max_value;
      break;
  }
  return static_cast<float>(network);
}

float Transform::to_physical(float network) const {
  if (network <= 0.F) return 0.F;
  const double value = network;
  double physical = 0.;
  switch (kind) {
    case TransformKind::dbz: {
      const double dbz = floor_dbz + value * (ceiling_dbz - floor_dbz);
      physical =
          quantity == Quantity::reflectivity ? dbz : std::pow(10., (dbz / 10. - std::log10(zr_a)) / zr_b);
      break;
    }
    case TransformKind::log_eps:
      physical = epsilon * std::expm1(value * std::log1p(max_value / epsilon));
      break;
    case TransformKind::linear:
      physical = value * max_value;
      break;
  }
  return static_cast<float>(physical);
}

double Transform::growth() const {
  if (quantity != Quantity::rain_rate) return 0.;
  switch (kind) {
    case TransformKind::log_eps:
      return std::log((max_value + epsilon) / epsilon);
    case TransformKind::dbz:
      return (ceiling_dbz - floor_dbz) * std::log(10.) / (10. * zr_b);
    case TransformKind::linear:
      break;
  }
  return 0.;
}

float Transform::change_to_network(float change) const {
  if (kind == TransformKind::dbz && quantity == Quantity::reflectivity) {  // whose 0 dBZ is not no rain
    return static_cast<float>(std::isnan(change) ? 0. : change / (ceiling_dbz - floor_dbz));
  }
  return std::copysign(to_network(std::abs(change)), change);
}

void Transform::to_network(std::span<const float> physical, std::span<float> network,
                           std::span<float> mask) const {
  for (std::size_t i = 0; i < physical.size(); ++i) {
    mask[i] = std::isnan(physical[i]) ? 0.F : 1.F;
    network[i] = to_network(physical[i]);
  }
}

void Transform::to_physical(std::span<const float> network, std::span<float> physical) const {
  for (std::size_t i = 0; i < network.size(); ++i) physical[i] = to_physical(network[i]);
}

std::string Transform::text() const {
  std::string text;
  switch (kind) {
    case TransformKind::dbz:
      text = fmt::format("dbz a={} b={} floor={} ceiling={}", zr_a, zr_b, floor_dbz, ceiling_dbz);
      break;
    case TransformKind::log_eps:
      text = fmt::format("log_eps epsilon={} max={}", epsilon, max_value);
      break;
    case TransformKind::linear:
      text = fmt::format("linear max={}", max_value);
      break;
  }
  if (quantity != Quantity::rain_rate) text += std::string(" quantity=") + name_of(quantity);
  return text;
}

Transform Transform::parse(const std::string& text) {
  std::istringstream words(text);
  std::string word;
  words >> word;
  Transform transform;
  if (word == "dbz") {
    transform.kind = TransformKind::dbz;
  } else if (word == "log_eps") {
    transform.kind = TransformKind::log_eps;
  } else if (word == "linear") {
    transform.kind = TransformKind::linear;
  } else {
    throw DataError("transform \"" + text + "\": kind \"" + word + "\" is unknown; dbz, log_eps or linear");
  }
  while (words >> word) {
    const std::size_t equal = word.find('=');
    const std::string key = word.substr(0, equal),
                      value = equal == std::string::npos ? "" : word.substr(equal + 1);
    if (key == "quantity") {
      bool known = false;
      for (const Quantity q :
           {Quantity::rain_rate, Quantity::reflectivity, Quantity::vil, Quantity::intensity}) {
        if (value != name_of(q)) continue;
        transform.quantity = q;
        known = true;
      }
      if (!known) throw DataError("transform \"" + text + "\": quantity \"" + value + "\" is unknown");
      continue;
    }
    double* target = key == "a"         ? &transform.zr_a
                     : key == "b"       ? &transform.zr_b
                     : key == "floor"   ? &transform.floor_dbz
                     : key == "ceiling" ? &transform.ceiling_dbz
                     : key == "epsilon" ? &transform.epsilon
                     : key == "max"     ? &transform.max_value
                                        : nullptr;
    if (target == nullptr) throw DataError("transform \"" + text + "\": \"" + key + "\" is unknown");
    *target = number_of(value, text);
  }
  const bool sound = transform.zr_a > 0. && transform.zr_b > 0. &&
                     transform.ceiling_dbz > transform.floor_dbz && transform.epsilon > 0. &&
                     transform.max_value > 0.;
  if (!sound)
    throw DataError("transform \"" + text + "\": a, b, epsilon, max and ceiling - floor must be positive");
  return transform;
}

}  // namespace raincell::io
