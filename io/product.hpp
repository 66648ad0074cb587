// The product file (CF-1.11 NetCDF-4), built in memory, checked, published by rename.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

/// Rain that falls between two leads.
struct Accumulation {
  std::int64_t from_s = 0, to_s = 0;  // seconds after the reference time
  std::vector<float> values;          // [rows, columns], mm; kMissing where any part is missing
};

struct Product {
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  TimePoint reference_time;          // valid time of the latest frame
  std::vector<std::int64_t> lead_s;  // [T'], strictly increasing
  std::vector<float> values;         // [T', rows, columns], kMissing where there is no forecast
  std::vector<std::uint8_t>
      observed_mask;  // [rows, columns], 1 where the latest frame was observed; may be empty
  std::vector<double> probability_thresholds;  // mm/h, optional
  std::vector<float> probabilities;            // [thresholds, T', rows, columns], probability of >= threshold
  std::vector<Accumulation> accumulations;     // optional
  // provenance, written as attributes
  std::string forecaster, model_name, model_hash, status, version;
  std::vector<TimePoint> frames_used;
  std::int64_t frames_filled = 0;
  std::int64_t input_age_s = -1;                  // from the latest frame to the moment of issue; -1: unknown
  std::string zr, transform;                      // Z-R relation and Transform::text(), for the comment
  std::map<std::string, std::string> attributes;  // title, institution, history, ...: win over the defaults
};

/// Writes a product lead by lead, of which memory holds one. Small ones are built in memory; large ones under
/// a temporary name beside the target, read back and compared plane by plane. Throws as write_product does;
/// what is not finished leaves nothing behind.
class ProductWriter {
 public:
  /// `product`: all but values and probabilities, which are not looked at; must outlive the writer. The values
  /// of its accumulations may come until finish().
  ProductWriter(const Product&, const std::filesystem::path& target);
  ~ProductWriter();
  ProductWriter(const ProductWriter&) = delete;
  ProductWriter& operator=(const ProductWriter&) = delete;
  /// The next lead: values [rows, columns], probabilities [thresholds, rows, columns].
  void put(std::span<const float> values, std::span<const float> probabilities);
  /// Publishes it. Throws DataError when leads are missing.
  void finish();
  /// The most memory that a product of so many pixels, and planes of leads and thresholds, takes.
  static std::int64_t bytes(std::int64_t pixels, std::int64_t planes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// NetCDF-4 bytes of the product. Values beyond 0 to 327.67 (reflectivity: -327.67 to 327.67) are clipped and
/// counted in the attribute `values_clipped`. Throws DataError when sizes do not fit each other, WriteError
/// when the library fails. Any thread.
std::vector<std::byte> product_bytes(const Product&);
/// Publishes product_bytes. Throws as it does, and WriteError; the target is either complete or as it was.
void write_product(const Product&, const std::filesystem::path&);
/// The bytes of a file that write_product made: names, units, types, dimensions and times are checked. Throws
/// DataError. For raincell-reader, and for tests.
Product read_product(std::span<const std::byte>);
/// Rain between two leads, in mm, from the rates of the leads in (from_s, to_s], each standing for the time
/// since the lead before it. Throws DataError when from_s or to_s is neither 0 nor a lead, or the quantity is
/// no rain rate.
Accumulation accumulate(const Product&, std::int64_t from_s, std::int64_t to_s);
/// The same lead by lead: adds one with its rates [rows, columns], for the time since the lead before it.
void add_lead(Accumulation&, std::int64_t before_s, std::int64_t lead_s, std::span<const float> values);

}  // namespace raincell::io
