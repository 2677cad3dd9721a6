#include "net/http_types.h"

#include <algorithm>

#include "base/text.h"

namespace berth::net {

HeaderList::HeaderList(std::initializer_list<View> fields) {
  for (const View& field : fields) add(field.name, field.value);
}

void HeaderList::add(std::string_view name, std::string_view value) {
  Entry entry{.name_at = static_cast<std::uint32_t>(text_.size()),
              .name_size = static_cast<std::uint32_t>(name.size()),
              .value_at = static_cast<std::uint32_t>(text_.size() + name.size()),
              .value_size = static_cast<std::uint32_t>(value.size())};
  text_.append(name).append(value);
  entries_.push_back(entry);
}

void HeaderList::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

void HeaderList::remove(std::string_view name) {
  // The text of removed fields stays in the buffer: lists are short-lived.
  std::erase_if(entries_, [&](const Entry& entry) {
    return equals_ignoring_case(std::string_view(text_).substr(entry.name_at, entry.name_size), name);
  });
}

void HeaderList::clear() {
  text_.clear();
  entries_.clear();
}

HeaderList::View HeaderList::operator[](std::size_t index) const {
  const Entry& entry = entries_[index];
  const std::string_view text = text_;
  return View{.name = text.substr(entry.name_at, entry.name_size),
              .value = text.substr(entry.value_at, entry.value_size)};
}

std::optional<std::string_view> HeaderList::get(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name_size != name.size()) continue;
    const View field = (*this)[i];
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t HeaderList::count(std::string_view name) const {
  std::size_t found = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) found += equals_ignoring_case((*this)[i].name, name) ? 1U : 0U;
  return found;
}

bool HeaderList::has_token(std::string_view name, std::string_view token) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const View field = (*this)[i];
    if (!equals_ignoring_case(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      if (equals_ignoring_case(trim(rest.substr(0, comma)), token)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

std::string_view Request::path() const { return std::string_view(target).substr(0, target.find('?')); }

std::string_view Request::query() const {
  const std::size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

std::string_view reason_phrase(int status) {
  struct Row {
    int status;
    std::string_view phrase;
  };
  static constexpr Row kRows[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {426, "Upgrade Required"},
      {428, "Precondition Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"},
  };
  const auto* row = std::ranges::find(kRows, status, &Row::status);
  return row == std::end(kRows) ? std::string_view("Unknown") : row->phrase;
}

Response make_response(int status, std::string_view content_type, std::string body) {
  Response response{.status = status, .body = std::move(body)};
  response.headers.add("Content-Type", content_type);
  return response;
}

}  // namespace berth::net
