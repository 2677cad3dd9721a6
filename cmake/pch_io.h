#pragma once
// What modules above net share on top of the core header.
#include "pch_core.h"

#include <boost/asio/awaitable.hpp>
