#pragma once
// A vector whose first eight elements lie in the object itself: what is kept per device. Most workers have no more
// devices than that, and a search makes thousands of these.

#include <boost/container/small_vector.hpp>

namespace berth::placement {

template <class T>
using Few = boost::container::small_vector<T, 8>;

}  // namespace berth::placement
