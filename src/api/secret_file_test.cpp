#include <sys/stat.h>

#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

#include "api/auth.h"

namespace berth::api {

TEST_CASE("the secret is made once, and neither a folder nor a lost one is passed over") {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("berth-secret-{}", ::getpid());
  const std::string path = (folder / "secret.key").string();
  const auto first = load_or_make_secret(path);
  REQUIRE(first.has_value());
  CHECK(load_or_make_secret(path, SecretLost::kRefuse).value() == *first);
  const auto of_folder = load_or_make_secret(folder.string());
  CHECK(of_folder.error().code == Code::kInvalid);
  CHECK(of_folder.error().message.find("is a directory") != std::string::npos);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  CHECK(load_or_make_secret(path).error().message.find("chmod 600") != std::string::npos);
  std::filesystem::remove(path);
  const auto lost = load_or_make_secret(path, SecretLost::kRefuse);
  CHECK(lost.error().message.find("restore it") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace berth::api
