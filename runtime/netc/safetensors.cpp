// A strict reader and an atomic writer of safetensors files.
#include "netc/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "netc/error.h"
#include "netc/file.h"
#include "netc/suggest.h"
#include "netc/thread_pool.h"

namespace netc {

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian numbers");

namespace {

using Json = nlohmann::json;

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t max_header = 100'000'000;
constexpr int max_depth = 3;  // the file, a tensor, its shape
constexpr std::size_t max_dimensions = 32;

[[noreturn]] void fail(const std::string& file, const std::string& why) {
  throw Error(ErrorKind::format, fmt::format("{}: not a safetensors file: {}", file, why));
}

/// Refuses what JSON parsers let pass: duplicate keys, of which the last would win, and nesting without end.
class HeaderChecks {
 public:
  explicit HeaderChecks(const std::string& file) : file_(file) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    if (depth > max_depth) fail(file_, "the header nests too deeply");
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.back().insert(value.get<std::string>()).second) {
      fail(file_, fmt::format("duplicate key '{}'", printable(value.get<std::string>())));
    }
    return true;
  }

 private:
  const std::string& file_;
  std::vector<std::set<std::string>> keys_;
};

Json parse_header(const std::string& file, std::string_view text) {
  if (text.empty() || text.front() != '{') fail(file, "the header does not begin with '{'");
  try {
    return Json::parse(text, HeaderChecks(file));
  } catch (const Json::exception& error) {
    fail(file, fmt::format("the header is not JSON: '{}'", printable(error.what())));
  }
}

std::string_view header_text(const std::string& file, std::span<const std::byte> bytes) {
  if (bytes.size() < length_bytes) fail(file, fmt::format("it has {} bytes, a header length takes 8", bytes.size()));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > max_header)
    fail(file, fmt::format("the header's length is {}, at most {} are allowed", length, max_header));
  const std::size_t rest = bytes.size() - length_bytes;
  if (length > rest) fail(file, fmt::format("the header's length is {}, but only {} bytes follow", length, rest));
  return {reinterpret_cast<const char*>(bytes.data()) + length_bytes, length};
}

std::uint64_t element_bits(std::string_view dtype) {
  static const std::map<std::string, std::uint64_t, std::less<>> bits{
      {"BOOL", 8},  {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16},
      {"BF16", 16}, {"I32", 32}, {"U32", 32}, {"F32", 32},    {"I64", 64},    {"U64", 64}, {"F64", 64}};
  const auto found = bits.find(dtype);
  return found == bits.end() ? 0 : found->second;
}

/// Where a tensor lies, and its name, as the header says.
struct Entry {
  std::uint64_t begin;
  std::uint64_t end;
  std::string name;
};

/// Reads one tensor's line of the header.
class EntryParser {
 public:
  EntryParser(const std::string& file, const std::string& tensor, const Json& json)
      : file_(file), tensor_(tensor), json_(json) {}

  Entry parse(StoredTensor& tensor) const {
    if (!json_.is_object() || json_.size() != 3) refuse("expected the fields dtype, shape and data_offsets alone");
    tensor.dtype = dtype();
    const std::vector<std::uint64_t> shape = integers("shape");
    if (shape.size() > max_dimensions) {
      refuse(fmt::format("it has {} dimensions, at most {} are allowed", shape.size(), max_dimensions));
    }
    for (std::uint64_t extent : shape) {
      if (extent > std::numeric_limits<std::int64_t>::max()) refuse("an extent is too large");
      tensor.shape.push_back(static_cast<std::int64_t>(extent));
    }
    const std::vector<std::uint64_t> offsets = integers("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) refuse("data_offsets are not a begin and an end");
    const std::uint64_t expected = byte_count(tensor);
    if (offsets[1] - offsets[0] != expected) {
      refuse(fmt::format("{} [{}] takes {} bytes, data_offsets give {}", tensor.dtype, fmt::join(tensor.shape, ","),
                         expected, offsets[1] - offsets[0]));
    }
    return {offsets[0], offsets[1], tensor_};
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail(file_, fmt::format("tensor '{}': {}", printable(tensor_), why));
  }

  const Json& field(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end()) refuse(fmt::format("no {}", name));
    return *found;
  }

  std::string dtype() const {
    const Json& json = field("dtype");
    if (!json.is_string() || element_bits(json.get<std::string>()) == 0) refuse("unknown dtype");
    return json.get<std::string>();
  }

  std::vector<std::uint64_t> integers(const char* name) const {
    const Json& json = field(name);
    const auto is_integer = [](const Json& element) { return element.is_number_unsigned(); };
    if (!json.is_array() || !std::all_of(json.begin(), json.end(), is_integer)) {
      refuse(fmt::format("{} is not a list of whole numbers", name));
    }
    return json.get<std::vector<std::uint64_t>>();
  }

  std::uint64_t byte_count(const StoredTensor& tensor) const {
    std::uint64_t product = element_bits(tensor.dtype) / 8;
    for (std::int64_t extent : tensor.shape) {
      if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(extent), &product)) refuse("the shape overflows");
    }
    return product;
  }

  const std::string& file_;
  const std::string& tensor_;
  const Json& json_;
};

/// Tensors must fill the data exactly, without holes or overlaps.
void check_cover(const std::string& file, std::vector<Entry> entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      fail(file, fmt::format("tensor '{}' begins at byte {}, expected {}: {}", printable(entry.name), entry.begin,
                             covered, entry.begin < covered ? "it overlaps another" : "there is a hole before it"));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    fail(file, fmt::format("the header describes {} bytes of tensors, found {}", covered, data_bytes));
  }
}

std::map<std::string, std::string> parse_metadata(const std::string& file, const Json& json) {
  const auto is_text = [](const Json& value) { return value.is_string(); };
  if (!json.is_object() || !std::all_of(json.begin(), json.end(), is_text)) {
    fail(file, "__metadata__ is not a map of texts");
  }
  return json.get<std::map<std::string, std::string>>();
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::filesystem::path& file) : name_(file.string()), file_(file) {
  parse();
}

SafetensorsReader::SafetensorsReader(std::vector<std::byte> bytes, std::string name)
    : name_(std::move(name)), file_(std::move(bytes)) {
  parse();
}

void SafetensorsReader::parse() {
  const std::string_view text = header_text(name_, file_.bytes());
  const std::span<const std::byte> data = file_.bytes().subspan(length_bytes + text.size());
  const Json header = parse_header(name_, text);
  std::vector<Entry> entries;
  for (const auto& [key, json] : header.items()) {
    if (key == "__metadata__") {
      metadata_ = parse_metadata(name_, json);
      continue;
    }
    StoredTensor& tensor = tensors_[key];
    entries.push_back(EntryParser(name_, key, json).parse(tensor));
  }
  check_cover(name_, entries, data.size());
  for (const Entry& entry : entries) {
    tensors_[entry.name].bytes = data.subspan(entry.begin, entry.end - entry.begin);
  }
}

const StoredTensor& SafetensorsReader::require(std::string_view tensor, const std::vector<std::int64_t>& shape) const {
  const auto found = tensors_.find(std::string(tensor));
  if (found == tensors_.end()) {
    std::vector<std::string> names;
    for (const auto& [key, stored] : tensors_) {
      if (printable(key) == key) names.push_back(key);
    }
    throw Error(ErrorKind::mismatch, fmt::format("{}: no tensor '{}' of shape [{}]{}", name_, tensor,
                                                 fmt::join(shape, ","), did_you_mean(tensor, names)));
  }
  const StoredTensor& stored = found->second;
  if (stored.dtype != "F32" || stored.shape != shape) {
    throw Error(ErrorKind::mismatch, fmt::format("{}: tensor '{}': expected F32 [{}], found {} [{}]", name_, tensor,
                                                 fmt::join(shape, ","), stored.dtype, fmt::join(stored.shape, ",")));
  }
  return stored;
}

namespace {

/// What one thread copies at once.
struct Piece {
  View<float> to;
  View<const float> from;
};

/// Appends pieces of whole rows of the first dimension: of runs (see CopyOrder), and large enough to be worth a task.
void append_pieces(std::vector<Piece>& pieces, View<float> to, View<const float> from) {
  constexpr std::int64_t elements = 1 << 14;
  constexpr std::int64_t run = detail::CopyOrder::run;
  if (to.rank() == 0 || to.size() == 0) return pieces.push_back({to, from});
  const std::int64_t row = to.size() / to.shape()[0];
  const std::int64_t rows = (elements / row + run) / run * run;
  for (std::int64_t first = 0; first < to.shape()[0]; first += rows) {
    Extents shape = to.shape();
    shape[0] = std::min(rows, to.shape()[0] - first);
    pieces.push_back({{to.data() + first * to.strides()[0], shape, to.strides()},
                      {from.data() + first * from.strides()[0], shape, from.strides()}});
  }
}

int copy_piece(void* pieces, int index, std::uint8_t*) {
  const Piece& piece = static_cast<const Piece*>(pieces)[index];
  piece.to.copy_from(piece.from);
  return 0;
}

}  // namespace

void SafetensorsReader::copy_to(std::span<const std::pair<std::string, View<float>>> views) const {
  std::vector<Piece> pieces;
  std::deque<Tensor<float>> aligned;  // a tensor may begin at any byte of the file
  for (const auto& [name, view] : views) {
    const std::span<const std::byte> bytes = require(name, {view.shape().begin(), view.shape().end()}).bytes;
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0) {
      append_pieces(pieces, view, {reinterpret_cast<const float*>(bytes.data()), view.shape()});
      continue;
    }
    std::memcpy(aligned.emplace_back(view.shape()).data(), bytes.data(), bytes.size());
    append_pieces(pieces, view, std::as_const(aligned.back()).view());
  }
  parallel_loop(pieces.data(), copy_piece, 0, static_cast<int>(pieces.size()), nullptr);
}

void SafetensorsReader::copy_to(View<float> view, std::string_view tensor) const {
  const std::pair<std::string, View<float>> one(tensor, view);
  copy_to(std::span(&one, 1));
}

namespace {

std::string make_header(std::span<const NamedTensor> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t begin = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::int64_t end = begin + tensor.values.size() * static_cast<std::int64_t>(sizeof(float));
    const Extents& shape = tensor.values.shape();
    header[tensor.name] = {{"dtype", "F32"},
                           {"shape", std::vector<std::int64_t>(shape.begin(), shape.end())},
                           {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the tensors are aligned
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& file, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string header = make_header(tensors, metadata);
  const std::uint64_t length = header.size();
  AtomicFile out(file);
  out.write(&length, length_bytes);
  out.write(header);
  for (const NamedTensor& tensor : tensors) {
    if (tensor.values.contiguous()) {
      out.write(tensor.values.data(), static_cast<std::size_t>(tensor.values.size()) * sizeof(float));
      continue;
    }
    const std::vector<float> values = tensor.values.to_vector();
    out.write(values.data(), values.size() * sizeof(float));
  }
  out.commit();
}

}  // namespace netc
