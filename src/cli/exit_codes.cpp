#include "cli/exit_codes.h"

namespace berth::cli {

int exit_code(Code code) {
  switch (code) {
    case Code::kNotFound:
      return kExitNotFound;
    case Code::kConflict:
      return kExitConflict;
    case Code::kUnauthenticated:
    case Code::kForbidden:
      return kExitAuth;
    case Code::kTimeout:
      return kExitTimeout;
    case Code::kUnavailable:
    case Code::kRateLimited:
      return kExitUnavailable;
    case Code::kInvalid:
    case Code::kTooLarge:
    case Code::kNotSupported:
    case Code::kCancelled:
    case Code::kInternal:
      return kExitError;
  }
  return kExitError;
}

int exit_code(const fleet::Decision& decision) {
  switch (decision.verdict) {
    case fleet::Verdict::kFits:
      return kExitOk;
    case fleet::Verdict::kFitsAfter:
      return kExitFitsAfter;
    case fleet::Verdict::kUnknown:
      return kExitUnknown;
    case fleet::Verdict::kDoesNotFit:
      return decision.fit_count > 0 ? kExitFitsInPart : kExitDoesNotFit;
  }
  return kExitUnknown;
}

}  // namespace berth::cli
