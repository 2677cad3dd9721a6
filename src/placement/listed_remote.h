#pragma once
// Layers over several workers by recorded splits (listed_across.h).

#include "placement/search.h"

namespace berth::placement {

std::vector<Candidate> listed_remote(const Search& search,
                                     Context& context,
                                     const std::vector<Ledger>& ledgers,
                                     std::size_t option);

}  // namespace berth::placement
