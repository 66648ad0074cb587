// What the processes of one training say to each other.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace raincell::model {

/// Processes of ranks 0 to size() - 1. sum(), gather() and broadcast() are made by all of them, in the same
/// order. Sums are taken in the order of the ranks and are the same bits on each of them.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void sum(std::span<double>) = 0;
  virtual void sum(std::span<float>) = 0;
  /// What each rank says, by rank.
  virtual std::vector<std::string> gather(const std::string& mine) = 0;
  /// The bytes of rank 0, on all.
  virtual void broadcast(std::vector<std::byte>&) = 0;
  /// Who a rank is: "rank 1 of 2 (process 123 on host)".
  virtual std::string name(int rank) const = 0;
  /// This process has got on: whoever beats no more is stuck. rest(): until the next beat it may take its time.
  virtual void beat() = 0;
  virtual void rest() = 0;
  /// Ends all of them with this exit code.
  [[noreturn]] virtual void end_all(int code) = 0;
};

}  // namespace raincell::model
