// Forecasters side by side on the same cases and pixels, under a named protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/forecasters.hpp"
#include "model/skill.hpp"
#include "model/skill_probability.hpp"

namespace raincell::model {

/// Which pixels of a case and lead count. Both need a valid truth and a valid latest frame.
/// transported: and a valid value where advection brings one; missing output is scored as persistence.
/// observed: all of them; missing output is scored as zero.
enum class Support : std::uint8_t { transported, observed };

/// How the tables of the leads become the summary: pooled over all leads, or per lead and then averaged.
enum class LeadAverage : std::uint8_t { none, mean_of_leads, pooled };

/// What a published protocol fixes, as an executable description.
struct Protocol {
  std::string name = "default";
  std::vector<double> thresholds{0.1, 0.5, 1, 2, 5, 10, 30};  // units of the field
  Support support = Support::transported;
  LeadAverage summary = LeadAverage::none;
  bool balanced_errors = false;     // HKO-7's B-MSE and B-MAE, sums over pixels averaged over cases and leads
  bool image_errors = false;        // OpenSTL's MSE and MAE summed over pixels, SSIM, PSNR
  bool mean_of_thresholds = false;  // SEVIR's CSI-M and its like
  double error_scale = 1;           // values are multiplied by this for the summary's errors
  std::string unit = "mm/h";        // of the thresholds
};

/// default, hko7, openstl-mnist, sevir-pooled, sevir-per-lead. nullopt for an unknown name.
std::optional<Protocol> find_protocol(const std::string& name);
std::vector<std::string> protocol_names();

struct VerificationSpec {
  Protocol protocol;
  double step_minutes = 5;
  std::vector<double> fss_thresholds{1, 5};         // units of the field; empty: no FSS
  std::vector<std::int64_t> fss_scales{4, 16, 64};  // pixels
  bool spectra = true;
  BootstrapSpec
      bootstrap;  // set block to the frames of a case where cases overlap; resamples 0: no intervals
  std::int64_t threads = 1;
};

/// One hindcast; the spans stay valid until the next case is asked for.
struct VerificationCase {
  PastFrames past;
  std::span<const float> truth;  // [leads, rows, columns]
  std::int64_t leads = 0;
};

/// One lead of a case, with what was forecast; frames [rows, columns].
struct VerificationLead {
  struct Forecast {
    std::span<const float> values;                      // empty where there are probabilities alone
    std::vector<std::span<const float>> probabilities;  // one a threshold of the forecaster, or none
  };
  std::span<const float> truth;
  std::span<const float> advected;  // whose NaN bounds the support; empty with Support::observed
  std::vector<Forecast> forecasts;  // one a forecaster
};

/// A hindcast whose leads are brought one by one, for domains of which memory holds few frames.
struct StreamedCase {
  std::int64_t rows = 0, columns = 0, leads = 0;
  std::span<const float> latest;                // [rows, columns]
  std::vector<std::vector<double>> thresholds;  // of each forecaster's probabilities, or empty
  /// Any thread; what it gives stays valid until the thread asks for the next.
  std::function<VerificationLead(std::int64_t lead)> lead;
};

struct ThresholdScore {
  std::string forecaster;
  double lead_minutes = 0;
  double threshold = 0;  // threshold_mm_h
  ContingencyTable table;
  std::int64_t filled_pixels = 0;  // of this forecaster and lead
  Interval csi_interval;
};

struct ContinuousScore {
  std::string forecaster;
  double lead_minutes = 0;
  ContinuousSums sums;
  std::int64_t filled_pixels = 0;
  Interval mse_interval;
};

struct FssScore {
  std::string forecaster;
  double lead_minutes = 0;
  double threshold = 0;
  std::int64_t scale_pixels = 0;
  double fss = 0;
};

/// Power of the forecast over power of the truth; below 1 is blur.
struct SpectrumScore {
  std::string forecaster;
  double lead_minutes = 0;
  std::vector<double> wavelength_pixels;  // descending
  std::vector<double> forecast_power, truth_power, ratio;
};

struct ProbabilityScore {
  std::string forecaster;
  double lead_minutes = 0;
  double threshold = 0;
  ReliabilityTable table;
};

struct CrpsScore {
  std::string forecaster;
  double lead_minutes = 0;
  double crps = 0;  // between the first and the last threshold of the forecast
  std::int64_t pixels = 0;
};

/// One number of the protocol over all leads; threshold NaN where there is none.
struct SummaryScore {
  std::string forecaster, score;
  double threshold = 0;
  double value = 0;
};

/// The fields of `verify --json`, in its order.
struct VerificationResult {
  Protocol protocol;
  std::int64_t cases = 0;
  std::int64_t skipped_cases = 0;
  std::vector<ThresholdScore> scores;       // forecaster, then lead, then threshold
  std::vector<ContinuousScore> continuous;  // forecaster, then lead
  std::vector<FssScore> fss;
  std::vector<SpectrumScore> spectra;
  std::vector<ProbabilityScore> probabilities;
  std::vector<CrpsScore> crps;
  std::vector<SummaryScore> summary;
};

/// Adds up cases one by one; memory does not grow with their pixels.
class Verifier {
 public:
  /// Throws std::invalid_argument for no forecasters, twice the same name, or thresholds that do not ascend.
  Verifier(VerificationSpec, std::vector<std::string> forecasters);
  ~Verifier();
  Verifier(Verifier&&) noexcept;
  Verifier& operator=(Verifier&&) noexcept;

  /// advected: advection's forecast of this case, [leads, rows, columns]; its NaN bounds the support (not
  /// read with Support::observed, may be empty then). forecasts: one a forecaster, in order; each holds
  /// values, probabilities or both. Throws std::invalid_argument for sizes that differ from the case or the
  /// first case.
  void add(const VerificationCase&, std::span<const float> advected,
           std::span<const ForecastFrames> forecasts);
  /// The same lead by lead, one a thread at a time.
  void add(const StreamedCase&);
  VerificationResult result() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Case k of the range, nullopt when it cannot be had (counted as skipped).
using CaseReader = std::function<std::optional<VerificationCase>(std::int64_t)>;
/// Called after every case with the number done; false stops and returns what there is.
using VerificationProgress = std::function<bool(std::int64_t)>;

/// Runs every forecaster on every case. `advection` defines the support whether or not it is also listed (it
/// is run once either way).
VerificationResult verify(const VerificationSpec&, std::int64_t cases, const CaseReader&,
                          std::span<Forecaster* const> forecasters, Forecaster& advection,
                          const VerificationProgress& progress = {});

}  // namespace raincell::model
