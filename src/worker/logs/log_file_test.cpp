#include "worker/logs/log_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "worker/files/fd.h"
#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

TEST_CASE("the tail is the last lines, with or without a newline at the end") {
  const testing::Folder folder;
  folder.write("log", "a\nb\nc\n");
  CHECK(*tail_lines(folder.path("log"), 2) == "b\nc\n");
  CHECK(*tail_lines(folder.path("log"), 3) == "a\nb\nc\n");
  CHECK(*tail_lines(folder.path("log"), 99) == "a\nb\nc\n");
  CHECK(tail_lines(folder.path("log"), 0)->empty());
  folder.write("log", "a\nb\nc");
  CHECK(*tail_lines(folder.path("log"), 2) == "b\nc");
  CHECK(tail_lines(folder.path("none"), 5)->empty());
  folder.write("log", "\n\n\n");
  CHECK(*tail_lines(folder.path("log"), 2) == "\n\n");
}

TEST_CASE("a tail of a huge log with endless lines is bounded") {
  const testing::Folder folder;
  folder.write("log", std::string(3 * kMiB, 'x'));
  CHECK(tail_lines(folder.path("log"), 5)->size() == kTailBytesMax);
  std::string lines;
  while (lines.size() < 3 * kMiB) lines += "0123456789\n";
  folder.write("log", lines);
  const auto tail = tail_lines(folder.path("log"), 1'000'000'000);
  REQUIRE(tail.has_value());
  CHECK(tail->size() <= kTailBytesMax);
  CHECK(tail->starts_with("0123456789\n"));
}

TEST_CASE("a follower sees what is appended, across a cut and a new file") {
  const testing::Folder folder;
  const std::string path = folder.path("log");
  folder.write("log", "one\ntwo\n");
  auto follower = LogFollower::open(path, 1);
  REQUIRE(follower.has_value());
  CHECK(*follower->read() == "two\n");
  CHECK(follower->read()->empty());
  std::ofstream(path, std::ios::app) << "three\n";
  CHECK(*follower->read() == "three\n");
  folder.write("log", "cut\n");
  CHECK(*follower->read() == "cut\n");
  folder.write("other", "a new file that is longer\n");
  std::filesystem::rename(folder.path("other"), path);
  CHECK(*follower->read() == "a new file that is longer\n");
  std::filesystem::remove(path);
  CHECK(follower->read()->empty());
}

TEST_CASE("a log above its limit is cut while its writer goes on") {
  const testing::Folder folder;
  const std::string path = folder.path("log");
  const Fd writer(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const std::string text = std::string(999, 'x') + "\n";
  for (int i = 0; i < 10; ++i) REQUIRE(::write(writer.get(), text.data(), text.size()) == 1000);
  CHECK_FALSE(*cap_log(path, 10'000));
  REQUIRE(::write(writer.get(), "last\n", 5) == 5);
  CHECK(*cap_log(path, 10'000));
  CHECK(std::filesystem::file_size(path) == 0);
  CHECK(std::filesystem::file_size(path + ".1") == 5000);
  REQUIRE(::write(writer.get(), "after\n", 6) == 6);
  CHECK(*read_small_file(path) == "after\n");
  CHECK_FALSE(*cap_log(folder.path("none"), 10));
}
