#pragma once
// A store whose commits fail when a test or a simulation says so.

#include <functional>
#include <memory>
#include <utility>

#include "store/watched.h"

namespace berth::store {

enum class Fault {
  kNone,
  kRefused,      // kUnavailable, nothing is written
  kConflict,     // nothing is written
  kUnconfirmed,  // kTimeout, and it is written
  kLost,         // kTimeout, and it is not written
};

class Faulty final : public Watched {
 public:
  explicit Faulty(std::unique_ptr<Store> inner) : Watched(std::move(inner)) {}

  /// Asked before each commit; empty: no faults.
  std::function<Fault(const Batch&)> fault;
  /// While it is set, single objects cannot be read.
  bool blind = false;

  Result<Object> get(std::string_view kind, std::string_view id) override {
    if (blind) return fail(Code::kUnavailable, "the disk cannot be read");
    return Watched::get(kind, id);
  }

  Result<Committed> commit(Batch batch, Duration timeout = kCommitTimeout, Shortfall* shortfall = nullptr) override {
    const Fault f = fault ? fault(batch) : Fault::kNone;
    if (f == Fault::kRefused) return fail(Code::kUnavailable, "the disk is full: nothing was written");
    if (f == Fault::kConflict) return fail(Code::kConflict, "made to conflict by a test");
    if (f == Fault::kLost) return fail(Code::kTimeout, "the disk did not answer: it may or may not be written");
    auto done = Watched::commit(std::move(batch), timeout, shortfall);
    if (f == Fault::kUnconfirmed && done)
      return fail(Code::kTimeout, "the disk did not answer: it may or may not be written");
    return done;
  }
};

}  // namespace berth::store
