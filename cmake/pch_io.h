#pragma once
// What modules above net share on top of the core header.
#include <boost/asio/awaitable.hpp>

#include "pch_core.h"
