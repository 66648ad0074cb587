// A rolling service in a world of the test's own: its clock, and its frames.
#pragma once

#include "app/service.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "app/commands.hpp"
#include "app/errors.hpp"
#include "app/product_name.hpp"
#include "app/publication.hpp"
#include "app/service_view.hpp"
#include "app/stored_products.hpp"
#include "app/weights.hpp"
#include "io/odim_out.hpp"
#include "io/product.hpp"
#include "io/publish.hpp"
#include "io/simulate.hpp"
#include "tests/app/program.hpp"

namespace raincell::app {

using io::TimePoint;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Json = nlohmann::json;
namespace fs = std::filesystem;

inline const TimePoint kNoon = *io::parse_time("2024-06-01T12:00Z");

inline TimePoint slot(int number) {
  return kNoon + minutes(5 * number);
}

/// Time passes while the service waits, and only then. What happens in the world happens by its own time,
/// whatever the clock on the wall is set to.
class World : public ServiceClock {
 public:
  explicit World(TimePoint begin) : time_(begin) {}
  io::Moment now() const override { return {time_ + wrong_, steady_}; }
  void wait(milliseconds at_most, int) override {
    pass(std::max(at_most, milliseconds(1)));
    for (; !events_.empty() && events_.begin()->first <= time_; events_.erase(events_.begin()))
      events_.begin()->second();
    if (time_ >= end_) throw Stopped(SIGTERM);
  }
  void at(TimePoint time, std::function<void()> happens) { events_.emplace(time, std::move(happens)); }
  /// The clock on the wall is wrong by so much from now on.
  void set_wrong(seconds by) { wrong_ = by; }
  /// The time passes, and nothing happens in between.
  void go_to(TimePoint time) { pass(time - time_); }
  void end(TimePoint time) { end_ = time; }

 private:
  void pass(milliseconds by) {
    steady_ += by;
    while (steady_ - whole_ >= seconds(1)) {
      whole_ += seconds(1);
      time_ += seconds(1);
    }
  }
  TimePoint time_;
  seconds wrong_{0};
  milliseconds steady_{0}, whole_{0};
  TimePoint end_ = TimePoint::max();
  std::multimap<TimePoint, std::function<void()>> events_;
};

class Watch : public testing::Test {
 protected:
  Watch() : world_(slot(-1)), simulator_(simulation()) {
    fs::create_directories(in());
    config_.input = in().string();
    config_.output = out().string();
    config_.forecaster = "advection";
    config_.publish.pictures = false;
  }
  static io::SimulationSpec simulation() {
    io::SimulationSpec spec;
    spec.columns = 40;
    spec.rows = 32;
    spec.missing_region = false;
    return spec;
  }
  fs::path in() const { return folder_ / "radar"; }
  fs::path out() const { return folder_ / "out"; }
  io::Frame frame(int number) const {
    io::Frame made = simulator_.frame(number + 20);
    made.valid_time = slot(number);
    return made;
  }
  static std::string bytes_of(const io::Frame& frame) {
    const std::vector<std::byte> bytes = io::odim_bytes(frame);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void write(const std::string& name, const std::string& bytes) const {
    test::write_text(in() / name, bytes);
  }
  void arrive(int number, const std::string& name = "") const {
    write(name.empty() ? "frame" + std::to_string(number) + ".h5" : name, bytes_of(frame(number)));
  }
  /// Frames [first, last] come `delay` after their time.
  void feed(int first, int last, seconds delay = seconds(15)) {
    for (int i = first; i <= last; ++i) world_.at(slot(i) + delay, [this, i] { arrive(i); });
  }
  /// After every slot's deadline: status, rung and product of latest.json.
  void note(int first, int last) {
    for (int i = first; i <= last; ++i)
      world_.at(slot(i) + seconds(200),
                [this, i] { notes_ += std::to_string(i) + " " + latest_text() + "\n"; });
  }
  Json latest() const { return Json::parse(test::read_text(out() / "latest.json")); }
  std::string latest_text() const {
    const Json json = latest();
    return json["status"].get<std::string>() + " " + json["rung"].get<std::string>();
  }
  /// Until the end of the world, or of a slot.
  void run(int until) {
    world_.end(slot(until) + seconds(250));
    const Arguments arguments = parse_arguments(watch_command().spec, {"watch.yaml", "--threads", "1"});
    Service service(config_, arguments, world_, nullptr, log_);
    EXPECT_THROW(service.run(), Stopped);
    summary_ = service.summary().substr(0, service.summary().find(';'));
  }
  std::vector<std::string> products() const { return test::files_below(out() / "products"); }
  std::string metrics() const { return test::read_text(out() / "metrics.prom"); }
  io::Product product(int number) const {
    const std::string bytes = io::read_file(out() / "products" / ("nowcast_" + stamp(slot(number)) + ".nc"));
    return io::read_product(std::as_bytes(std::span(bytes)));
  }
  bool counts(const std::string& sample) const {
    return ("\n" + metrics()).find("\nraincell_" + sample + "\n") != std::string::npos;
  }

  test::Folder folder_;
  World world_;
  io::Simulator simulator_;
  WatchConfig config_;
  Log log_;
  std::string notes_, summary_;
};

}  // namespace raincell::app
