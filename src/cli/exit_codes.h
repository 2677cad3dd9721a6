#pragma once
// What a process's exit status tells a script (DESIGN §5).

#include "base/result.h"
#include "fleet/decision.h"

namespace berth::cli {

constexpr int kExitOk = 0;
constexpr int kExitError = 1;
constexpr int kExitUsage = 2;
constexpr int kExitNotFound = 3;
constexpr int kExitAuth = 4;
constexpr int kExitConflict = 5;
constexpr int kExitTimeout = 6;
constexpr int kExitUnavailable = 7;
constexpr int kExitDoesNotFit = 8;
constexpr int kExitFitsAfter = 9;
constexpr int kExitUnknown = 10;
constexpr int kExitFitsInPart = 11;

int exit_code(Code code);
/// By verdict; warnings do not change it. does_not_fit is 11 when some replicas have a place, else 8.
int exit_code(const fleet::Decision& decision);

}  // namespace berth::cli
