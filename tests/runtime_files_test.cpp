// safetensors and .npy files: what the published writers make, what is broken, what is written.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <array>
#include <numeric>
#include <vector>

#include <cstring>
#include <fstream>

#include "netc/file.h"
#include "netc/npy.h"
#include "netc/safetensors.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;
using test::read_text;
using test::TemporaryFolder;
using test::vectors;
using test::write_text;

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

/// A file with this header and `data` bytes behind it.
std::vector<std::byte> file_with(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string text(sizeof length, '\0');
  std::memcpy(text.data(), &length, sizeof length);
  return bytes_of(text + header + std::string(data, '\0'));
}

void check_broken(const std::string& header, std::size_t data, const std::string& why) {
  CAPTURE(header);
  check_error(ErrorKind::format, {"w.safetensors", why},
              [&] { SafetensorsReader(file_with(header, data), "w.safetensors"); });
}

TEST_CASE("the published writer's file is read") {
  const SafetensorsReader file(vectors() / "wheel.safetensors");
  CHECK(file.tensors().size() == 4);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("note") == "a \"quoted\" text");
  Tensor<float> weight({4, 1, 3, 2});
  file.copy_to(weight.view(), "conv.weight");
  CHECK(weight.view()(3, 0, 2, 1) == 23.0f / 8);
  CHECK(file.tensors().at("bn.num_batches_tracked").dtype == "I64");
  CHECK(file.tensors().at("mask").bytes[2] == std::byte{255});
  CHECK(file.tensors().at("empty").shape == std::vector<std::int64_t>{0, 3});
}

TEST_CASE("a tensor goes to a view of any layout") {
  const SafetensorsReader file(vectors() / "wheel.safetensors");
  std::vector<float> stored(24);
  const View<float> view(stored.data(), {4, 1, 3, 2}, {1, 4, 4, 12});
  file.copy_to(view, "conv.weight");
  CHECK(view(1, 0, 2, 0) == 10.0f / 8);
  CHECK(stored[1 + 2 * 4] == 10.0f / 8);
}

TEST_CASE("large tensors arrive whole, wherever they begin in the file and however they are stored") {
  const auto counting = [](const Extents& shape) {
    Tensor<float> tensor(shape);
    std::iota(tensor.data(), tensor.data() + tensor.size(), 1.0F);
    return tensor;
  };
  const Tensor<float> weight = counting({100, 70, 3, 5});
  const Tensor<float> table = counting({3, 90001});
  const TemporaryFolder folder;
  write_safetensors(folder / "w.safetensors", std::array<NamedTensor, 2>{{{"w", weight.view()}, {"t", table.view()}}});
  std::vector<std::byte> bytes = read_file(folder / "w.safetensors");
  // A blank more before the header's end: all tensors begin at an odd byte.
  std::vector<std::byte> odd = bytes;
  odd[0] = static_cast<std::byte>(std::to_integer<int>(odd[0]) + 1);
  odd.insert(odd.begin() + 8 + std::to_integer<int>(bytes[0]), std::byte{' '});
  for (const SafetensorsReader& file :
       {SafetensorsReader(folder / "w.safetensors"), SafetensorsReader(std::move(odd), "odd")}) {
    std::vector<float> stored(100 * 70 * 3 * 5);
    const View<float> inner_rows(stored.data(), {100, 70, 3, 5}, {1, 100, 35000, 7000});
    file.copy_to(inner_rows, "w");
    CHECK(inner_rows.to_vector() == weight.view().to_vector());
    Tensor<float> rows({3, 90001});
    file.copy_to(rows.view(), "t");
    CHECK(rows.view().to_vector() == table.view().to_vector());
  }
}

TEST_CASE("wrong requests name file, tensor, expected and found") {
  const SafetensorsReader file(vectors() / "wheel.safetensors");
  check_error(ErrorKind::mismatch,
              {"wheel.safetensors", "'conv.weight'", "expected F32 [4,1,5,5]", "found F32 [4,1,3,2]"}, [&] {
                file.require("conv.weight", {4, 1, 5, 5});
              });
  check_error(ErrorKind::mismatch, {"expected F32 [3]", "found U8 [3]"}, [&] { file.require("mask", {3}); });
  check_error(ErrorKind::mismatch, {"no tensor 'conv.wieght'", "did you mean 'conv.weight'?"},
              [&] { file.require("conv.wieght", {1}); });
  check_error(ErrorKind::io, {"/nowhere/w.safetensors", "No such file"},
              [] { SafetensorsReader("/nowhere/w.safetensors"); });
}

/// "1,1,1"
std::string many(const std::string& number, int count) {
  std::string list = number;
  for (int i = 1; i < count; ++i) list += "," + number;
  return list;
}

TEST_CASE("a file's own words are one short line of a message, without control characters") {
  CHECK(printable("conv.weight") == "conv.weight");
  CHECK(printable("x\n\x1b[31m\x7f") == "x??[31m?");
  CHECK(printable("a\xc2\x9b"
                  "31m \xc3\x9b") == "a??31m \xc3\x9b");
  CHECK(printable(std::string(1000, 'a')) == std::string(80, 'a') + "…");
  CHECK(printable(std::string(79, 'a') + "éé") == std::string(79, 'a') + "…");  // not half a letter
  const std::string shape = many("1", 200'001);
  const std::string header = R"({"a":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[0,4]}})";
  const Error deep = test::error_of([&] { SafetensorsReader(file_with(header, 4), "w"); });
  CHECK(std::string(deep.what()).size() < 200);
}

TEST_CASE("a name with control characters is not suggested") {
  const SafetensorsReader file(file_with(R"({"conv\u001bweight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
                               "w");
  const Error missing = test::error_of([&] { file.require("conv.weight", {1}); });
  CHECK(std::string(missing.what()) == "w: no tensor 'conv.weight' of shape [1]");
}

TEST_CASE("broken headers are refused with a reason") {
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  CHECK(SafetensorsReader(file_with("{" + a + "}   ", 8), "w").tensors().size() == 1);
  check_broken(" {" + a + "}", 8, "begin with");
  check_broken("[]", 0, "begin with");
  check_broken("{" + a + "," + a + "}", 8, "duplicate key 'a'");
  check_broken(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, "duplicate key 'dtype'");
  check_broken("{" + a + "} x", 8, "not JSON");
  check_broken("{" + a, 8, "not JSON");
  check_broken("{" + a + "}", 12, "describes 8 bytes");
  check_broken("{" + a + "}", 4, "describes 8 bytes");
  check_broken(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "hole");
  check_broken("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "overlaps");
  check_broken(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "takes 12 bytes");
  check_broken(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8, "unknown dtype");
  check_broken(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "whole numbers");
  check_broken(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "whole numbers");
  check_broken(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "overflows");
  check_broken(R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", 0, "too large");
  check_broken(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "begin and an end");
  check_broken(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8, "alone");
  check_broken(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "alone");
  check_broken(R"({"a":7})", 0, "alone");
  check_broken(R"({"__metadata__":{"a":1}})", 0, "map of texts");
  check_broken(R"({"a":{"dtype":"F32","shape":[[[[[2]]]]],"data_offsets":[0,8]}})", 8, "nests");
  check_broken("{" + std::string(200'000, '['), 0, "not");
  check_broken(R"({"a":{"dtype":"F32","shape":[)" + many("1", 33) + R"(],"data_offsets":[0,4]}})", 4,
               "it has 33 dimensions, at most 32 are allowed");
  check_broken("{\"\xff\":1}", 0, "not JSON");
}

TEST_CASE("broken lengths are refused") {
  check_error(ErrorKind::format, {"3 bytes"}, [] { SafetensorsReader(bytes_of("abc"), "w"); });
  check_error(ErrorKind::format, {"at most 100000000"},
              [] { SafetensorsReader(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "w"); });
  check_error(ErrorKind::format, {"only 2 bytes follow"}, [] {
    SafetensorsReader(bytes_of({"\x09\0\0\0\0\0\0\0{}", 10}), "w");
  });
}

TEST_CASE("every byte of a header replaced by every other: an error, or the same values") {
  const std::vector<std::byte> good = read_file(vectors() / "wheel.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, good.data(), sizeof length);
  Tensor<float> expected({4, 1, 3, 2});
  SafetensorsReader(good, "good").copy_to(expected.view(), "conv.weight");
  int accepted = 0;
  for (std::size_t i = 0; i < 8 + length; ++i) {
    for (int value = 0; value < 256; ++value) {
      std::vector<std::byte> bad = good;
      if (bad[i] == static_cast<std::byte>(value)) continue;
      bad[i] = static_cast<std::byte>(value);
      Tensor<float> found({4, 1, 3, 2});
      try {
        SafetensorsReader(std::move(bad), "bad").copy_to(found.view(), "conv.weight");
      } catch (const Error&) {
        continue;
      }
      ++accepted;
      REQUIRE(found.view().to_vector() == expected.view().to_vector());
    }
  }
  CHECK(accepted > 0);  // in other tensors' names and in the metadata
}

TEST_CASE("what is written is read again, from any layout") {
  const TemporaryFolder folder;
  std::vector<float> stored{0, 10, 1, 11, 2, 12};
  const View<const float> transposed(stored.data(), {2, 3}, {1, 2});
  const Tensor<float> scalar(Extents{}, {7});
  const std::vector<NamedTensor> tensors{{"z.weight", transposed}, {"a", scalar.view()}};
  write_safetensors(folder / "w.safetensors", tensors, {{"k", "v"}});
  const SafetensorsReader file(folder / "w.safetensors");
  Tensor<float> back({2, 3});
  file.copy_to(back.view(), "z.weight");
  CHECK(back.view().to_vector() == std::vector<float>{0, 1, 2, 10, 11, 12});
  CHECK(file.require("a", {}).bytes.size() == 4);
  CHECK(file.metadata().at("k") == "v");
  CHECK(folder.names() == std::vector<std::string>{"w.safetensors"});
}

TEST_CASE("writing keeps symbolic links, and devices as they are") {
  const TemporaryFolder folder;
  write_text(folder / "real", "old");
  std::filesystem::create_symlink(folder / "real", folder / "link");
  write_file(folder / "link", "new");
  CHECK(read_text(folder / "real") == "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  using std::filesystem::perms;
  std::filesystem::permissions(folder / "real", perms::owner_read | perms::owner_write);
  write_file(folder / "real", "newer");
  CHECK(std::filesystem::status(folder / "real").permissions() == (perms::owner_read | perms::owner_write));
  check_error(ErrorKind::io, {"/dev/full", "No space left"}, [] { write_file("/dev/full", "text"); });
  CHECK(std::filesystem::is_character_file("/dev/full"));
  check_error(ErrorKind::io, {"Is a directory"}, [&] { write_file(folder.path(), "text"); });
  check_error(ErrorKind::io, {"nowhere", "No such file"}, [&] { write_file(folder / "nowhere" / "f", "text"); });
  check_error(ErrorKind::io, {"Not a directory"}, [&] { make_folder(folder / "real" / "below"); });
}

TEST_CASE("a link to a file that is not there yet stays, and the file comes to be") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "runs");
  std::filesystem::create_symlink("runs/not-yet-there", folder / "latest");
  std::filesystem::create_symlink(folder / "latest", folder / "chain");
  check_writable(folder / "chain");
  write_file(folder / "chain", "new");
  CHECK(read_text(folder / "runs" / "not-yet-there") == "new");
  for (const char* link : {"latest", "chain"}) CHECK(std::filesystem::is_symlink(folder / link));
  CHECK(folder.names() == std::vector<std::string>{"chain", "latest", "runs"});
  std::filesystem::create_symlink("nowhere/f", folder / "lost");
  check_error(ErrorKind::io, {"lost", "No such file"}, [&] { write_file(folder / "lost", "text"); });
  std::filesystem::create_symlink("there", folder / "here");
  std::filesystem::create_symlink("here", folder / "there");
  check_error(ErrorKind::io, {"here", "Too many levels of symbolic links"}, [&] { check_writable(folder / "here"); });
}

TEST_CASE("NumPy's arrays are read") {
  const NpyArray f4 = read_npy(vectors() / "f4.npy");
  CHECK(f4.type == NpyType::f32);
  CHECK(f4.shape == Extents{2, 3});
  CHECK(f4.view<float>()(1, 2) == 1.25f);
  CHECK(read_npy(vectors() / "i4.npy").view<std::int32_t>().to_vector() == std::vector<std::int32_t>{1, -2, 3});
  const NpyArray i8 = read_npy(vectors() / "i8.npy");
  CHECK(i8.shape == Extents{2, 1});
  CHECK(i8.view<std::int64_t>().to_vector() == std::vector<std::int64_t>{7, -8});
  CHECK(read_npy(vectors() / "u1.npy").view<std::uint8_t>().to_vector() == std::vector<std::uint8_t>{0, 255});
  CHECK(read_npy(vectors() / "scalar.npy").shape == Extents{});
}

TEST_CASE("arrays are written byte for byte as NumPy writes them") {
  const TemporaryFolder folder;
  write_npy(folder / "f4.npy", Tensor<float>({2, 3}, {0, 0.25, 0.5, 0.75, 1, 1.25}).view());
  CHECK(read_text(folder / "f4.npy") == read_text(vectors() / "f4.npy"));
  write_npy(folder / "scalar.npy", Tensor<float>(Extents{}, {2.5}).view());
  CHECK(read_text(folder / "scalar.npy") == read_text(vectors() / "scalar.npy"));
  write_npy(folder / "one.npy", Tensor<float>({3}, {1, 2, 3}).view());
  CHECK(read_npy(folder / "one.npy").shape == Extents{3});
  CHECK(read_text(folder / "one.npy").find("'shape': (3,), }") != std::string::npos);
}

TEST_CASE("broken arrays are refused with a reason") {
  const TemporaryFolder folder;
  const std::string good = read_text(vectors() / "f4.npy");
  const auto check = [&](const std::string& text, const std::string& why) {
    write_text(folder / "x.npy", text);
    check_error(ErrorKind::format, {"x.npy", why}, [&] { read_npy(folder / "x.npy"); });
  };
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  check("", "NUMPY");
  check("PK\x03\x04", "NUMPY");
  check(good.substr(0, 20), "header");
  check(good.substr(0, good.size() - 1), "takes 24 bytes, found 23");
  check(good + "x", "found 25");
  check(replaced("<f4", "<f8"), "found '<f8'");
  check(replaced("<f4", ">f4"), "found '>f4'");
  check(replaced("False", "True "), "row-major");
  check(replaced("(2, 3)", "(2,-3)"), "tuple of sizes");
  check(replaced("'shape'", "'shepe'"), "unknown header key 'shepe'");
  check(replaced("'shape'",
                 "'s\x1b"
                 "ape'"),
        "unknown header key 's?ape'");
  check(replaced("<f4", "<\n4"), "found '<?4'");
  check(replaced("\x01", "\x09"), "version 9");
}

TEST_CASE("every byte of an array's header replaced: an error or an array, never a crash") {
  const TemporaryFolder folder;
  const std::string good = read_text(vectors() / "f4.npy");
  int refused = 0;
  for (std::size_t i = 0; i < 80; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x15);
    write_text(folder / "x.npy", bad);
    try {
      const NpyArray array = read_npy(folder / "x.npy");
      CHECK(count(array.shape) == 6);
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 60);
}

}  // namespace
}  // namespace netc
