#include "app/data_dir.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace berth::app {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("berth-data-dir-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

fs::perms mode_of(const fs::path& path) { return fs::status(path).permissions(); }

}  // namespace

TEST_CASE("a data folder that berth makes is its owner's; one that is there stays as it is") {
  const Folder folder;
  const auto fresh = folder.path / "deep" / "data";
  REQUIRE(prepare_data_dir(fresh.string()).has_value());
  CHECK(mode_of(fresh) == fs::perms::owner_all);
  REQUIRE(prepare_data_dir(fresh.string() + "/").has_value());
  REQUIRE(prepare_data_dir((folder.path / "slash").string() + "/").has_value());
  CHECK(mode_of(folder.path / "slash") == fs::perms::owner_all);

  const auto others = fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read;
  fs::permissions(fresh, others);
  REQUIRE(prepare_data_dir(fresh.string()).has_value());
  CHECK(mode_of(fresh) == others);
  // As /tmp is.
  fs::permissions(fresh, fs::perms::all | fs::perms::sticky_bit);
  REQUIRE(prepare_data_dir(fresh.string()).has_value());
  CHECK(mode_of(fresh) == (fs::perms::all | fs::perms::sticky_bit));
}

TEST_CASE("a data folder that cannot be one is refused by its name") {
  const Folder folder;
  fs::permissions(folder.path, fs::perms::all);
  const auto open = prepare_data_dir(folder.path.string());
  REQUIRE(!open.has_value());
  CHECK(open.error().message.find("can be written by everybody (mode 0777)") != std::string::npos);
  std::ofstream(folder.path / "file") << "x";
  const auto file = prepare_data_dir((folder.path / "file").string());
  REQUIRE(!file.has_value());
  CHECK(file.error().message == "--data-dir " + (folder.path / "file").string() + " is no directory");
  const auto below = prepare_data_dir((folder.path / "file" / "data").string());
  REQUIRE(!below.has_value());
  CHECK(below.error().code == Code::kInvalid);
}

}  // namespace berth::app
