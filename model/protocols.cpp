// The published verification protocols as executable descriptions.
#include <algorithm>

#include "model/verification.hpp"

namespace raincell::model {
namespace {

Protocol plain() {
  return {};
}

/// Shi et al. 2017: tables pooled over all cases of a lead time, scores averaged over the 20 leads.
Protocol hko7() {
  Protocol p;
  p.name = "hko7";
  p.thresholds = {0.5, 2, 5, 10, 30};
  p.support = Support::observed;
  p.summary = LeadAverage::mean_of_leads;
  p.balanced_errors = true;
  return p;
}

/// Tan et al. 2023: errors summed over the pixels of a frame, averaged over frames and sequences; frames in
/// 0..1.
Protocol openstl_mnist() {
  Protocol p;
  p.name = "openstl-mnist";
  p.thresholds = {};
  p.support = Support::observed;
  p.image_errors = true;
  p.unit = "1";
  return p;
}

/// SEVIR as Earthformer scores it: VIL 0..255, one table over all cases, leads and pixels; MSE on values over
/// 255.
Protocol sevir_pooled() {
  Protocol p;
  p.name = "sevir-pooled";
  p.thresholds = {16, 74, 133, 160, 181, 219};
  p.support = Support::observed;
  p.summary = LeadAverage::pooled;
  p.mean_of_thresholds = true;
  p.error_scale = 1. / 255;
  p.unit = "1";
  return p;
}

/// The same thresholds with one table a lead time and the scores averaged over the leads (SEVIR challenge).
Protocol sevir_per_lead() {
  Protocol p = sevir_pooled();
  p.name = "sevir-per-lead";
  p.summary = LeadAverage::mean_of_leads;
  return p;
}

std::vector<Protocol> protocols() {
  return {plain(), hko7(), openstl_mnist(), sevir_pooled(), sevir_per_lead()};
}

}  // namespace

std::optional<Protocol> find_protocol(const std::string& name) {
  const auto all = protocols();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Protocol& p) { return p.name == name; });
  if (found == all.end()) return std::nullopt;
  return *found;
}

std::vector<std::string> protocol_names() {
  std::vector<std::string> names;
  for (const auto& protocol : protocols()) names.push_back(protocol.name);
  return names;
}

}  // namespace raincell::model
