#pragma once
// Replicas over several workers under a policy whose candidates are listed (layouts/listed.h), by consent:
//
// kShare   workers with as many devices each, most devices first, whole workers one after the other until their shares
//          hold the need and the heads divide by the ranks, or the ranks asked for are there. Engines whose need says
//          so (PublishedNeed::part_of_worker) also take as many of a larger worker's devices. A selection by hand: most
//          selected devices first, up to the ranks asked for.
// kLayers  a main worker with all of its devices, and single devices of others in front of them, by recorded splits:
//          as few of those as hold all layers, else as hold most.

#include "placement/search.h"

namespace berth::placement {

/// Candidates for one replica on these ledgers, parallel to `search.workers()`.
std::vector<Candidate> listed_across(const Search& search,
                                     Context& context,
                                     const std::vector<Ledger>& ledgers,
                                     bool overcommit);

}  // namespace berth::placement
