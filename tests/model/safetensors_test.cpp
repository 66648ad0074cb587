// Weights as bytes: round trips, and every way in which such bytes can be wrong.
#include "model/safetensors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/backend.hpp"
#include "model/weights.hpp"

namespace raincell::model {
namespace {

std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes,
                               std::uint64_t said = UINT64_MAX) {
  const std::uint64_t size = said == UINT64_MAX ? header.size() : said;
  std::vector<std::byte> bytes(8 + header.size() + data_bytes);
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>((size >> (8 * i)) & 0xFF);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

std::string refusal(const std::vector<std::byte>& bytes) {
  try {
    parse_safetensors(bytes);
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

constexpr const char* kGood = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST(Safetensors, RoundTrip) {
  WeightsFile file;
  file.metadata = {{"model", "{\"quoted\": \"\\\"\"}"}, {"note", "größer"}};
  file.tensors = {
      {"b", {2, 1}, {1.5, -0.25}, false}, {"a", {1}, {1. / 3.}, true}, {"empty", {0, 3}, {}, false}};
  const WeightsFile back = parse_safetensors(to_safetensors(file));
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back.tensors[i].name, file.tensors[i].name);
    EXPECT_EQ(back.tensors[i].shape, file.tensors[i].shape);
    EXPECT_EQ(back.tensors[i].values, file.tensors[i].values);
  }
  EXPECT_EQ(to_safetensors(file).size() % 8, 0U);
  file.tensors.push_back(file.tensors[0]);
  EXPECT_THROW(to_safetensors(file), WeightsError);
}

TEST(Safetensors, ReadsHalvesAndIntegers) {
  const std::string header = R"({"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
                             R"("i":{"dtype":"I32","shape":[],"data_offsets":[12,16]}})";
  auto bytes = file_of(header, 16);
  const std::uint16_t half[] = {0x3C00, 0xC000, 0x0001, 0x3555}, wide[] = {0x3F80, 0xC0A0};
  const std::int32_t integer = -7;
  std::memcpy(bytes.data() + 8 + header.size(), half, 8);
  std::memcpy(bytes.data() + 16 + header.size(), wide, 4);
  std::memcpy(bytes.data() + 20 + header.size(), &integer, 4);
  const WeightsFile file = parse_safetensors(bytes);
  EXPECT_EQ(file.find("h")->values, (std::vector<double>{1., -2., 0x1p-24, 0.333251953125}));
  EXPECT_EQ(file.find("b")->values, (std::vector<double>{1., -5.}));
  EXPECT_EQ(file.find("i")->values, (std::vector<double>{-7.}));
}

TEST(Safetensors, RefusesBadHeaders) {
  EXPECT_EQ(refusal(file_of(kGood, 8)), "accepted");
  EXPECT_NE(refusal({}).find("too few"), std::string::npos);
  EXPECT_NE(refusal(file_of("", 0)).find("start with '{'"), std::string::npos);
  EXPECT_NE(refusal(file_of(std::string(" ") + kGood, 8)).find("start with '{'"), std::string::npos);
  EXPECT_NE(refusal(file_of(kGood, 8, 100'000'001)).find("too large"), std::string::npos);
  EXPECT_NE(refusal(file_of(kGood, 8, UINT64_MAX - 1)).find("too large"), std::string::npos);
  EXPECT_NE(refusal(file_of(kGood, 0, 1000)).find("longer than the file"), std::string::npos);
  EXPECT_NE(refusal(file_of("{\"a\":", 8)).find("JSON"), std::string::npos);
  EXPECT_NE(refusal(file_of("{\"\xff\":1}", 8)).find("JSON"), std::string::npos);
  EXPECT_NE(refusal(file_of(std::string(100'000, '{'), 8)).find("JSON"), std::string::npos);
  std::string deep = "{\"a\":";
  for (int i = 0; i < 20; ++i) deep += "[";
  EXPECT_NE(refusal(file_of(deep, 8)).find("deep"), std::string::npos);
}

TEST(Safetensors, RefusesDuplicateKeys) {
  EXPECT_NE(refusal(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                            R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                            8))
                .find("'a' twice"),
            std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8))
                .find("twice"),
            std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"__metadata__":{"x":"1","x":"2"}})", 0)).find("'x' twice"),
            std::string::npos);
}

TEST(Safetensors, RefusesBadTensors) {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return refusal(file_of(
        "{\"a\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}", 8));
  };
  EXPECT_EQ(one("\"F32\"", "[2]", "[0,8]"), "accepted");
  EXPECT_NE(one("\"F31\"", "[2]", "[0,8]").find("unknown dtype"), std::string::npos);
  EXPECT_NE(one("4", "[2]", "[0,8]").find("dtype"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[3]", "[0,8]").find("takes 12"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[-2]", "[0,8]").find("natural"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[2.0]", "[0,8]").find("natural"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "2", "[0,8]").find("shape"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[4294967296,4294967296]", "[0,8]").find("overflows"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[9223372036854775808]", "[0,8]").find("overflows"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]").find("at most 8"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[2]", "[8,0]").find("outside"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[2]", "[0,16]").find("outside"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[2]", "[0]").find("pair"), std::string::npos);
  EXPECT_NE(one("\"F32\"", "[2]", "[0,-8]").find("natural"), std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"a":{"dtype":"F32","shape":[2]}})", 8)).find("needs exactly"),
            std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"a":[1]})", 8)).find("needs exactly"), std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"__metadata__":{"x":1}})", 0)).find("not a text"), std::string::npos);
  EXPECT_NE(refusal(file_of(R"({"__metadata__":[]})", 0)).find("not an object"), std::string::npos);
}

TEST(Safetensors, RefusesOverlapsHolesAndRests) {
  const auto two = [](int a, int b, std::size_t bytes) {
    const auto entry = [](int from) {
      return R"({"dtype":"F32","shape":[2],"data_offsets":[)" + std::to_string(from) + "," +
             std::to_string(from + 8) + "]}";
    };
    return refusal(file_of("{\"a\":" + entry(a) + ",\"b\":" + entry(b) + "}", bytes));
  };
  EXPECT_EQ(two(0, 8, 16), "accepted");
  EXPECT_EQ(two(8, 0, 16), "accepted");
  EXPECT_NE(two(0, 4, 16).find("overlaps"), std::string::npos);
  EXPECT_NE(two(0, 0, 16).find("overlaps"), std::string::npos);
  EXPECT_NE(two(4, 12, 20).find("hole"), std::string::npos);
  EXPECT_NE(two(0, 12, 20).find("hole"), std::string::npos);
  EXPECT_NE(two(0, 8, 17).find("1 bytes follow"), std::string::npos);
}

TEST(Safetensors, RefusesWhatIsNotFinite) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    auto bytes = file_of(kGood, 8);
    std::memcpy(bytes.data() + bytes.size() - 4, &bad, 4);
    EXPECT_NE(refusal(bytes).find("value 1 is not finite"), std::string::npos);
    EXPECT_NO_THROW(parse_safetensors(bytes, FiniteCheck::no));
  }
}

TEST(Safetensors, AnyTruncationAndAnyFlippedHeaderBitIsSafe) {
  WeightsFile file;
  file.metadata = {{"model", "x"}};
  file.tensors = {{"a", {2, 2}, {1., 2., 3., 4.}, false}, {"b", {1}, {5.}, true}};
  const auto good = to_safetensors(file);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(parse_safetensors(std::span(good).first(size)), WeightsError) << size;
  }
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    try {
      parse_safetensors(bytes);
    } catch (const WeightsError&) {
      continue;  // the only thing that may be thrown
    }
  }
}

// --- weights of networks -----------------------------------------------------------------------------------

ModelSpec small() {
  ModelSpec spec;
  spec.stages = {{std::nullopt, {2, 3, 3}, std::nullopt}};
  spec.past = spec.future = 2;
  return spec;
}

TEST(Weights, CarryTheirModel) {
  const auto backend = kernels::make_backend("reference-f32", {});
  Network network(small(), *backend, 1), other(small(), *backend, 2);
  const WeightsFile file = parse_safetensors(save_weights(network, {{"run", "x"}}));
  EXPECT_EQ(spec_of(file), small());
  EXPECT_EQ(file.metadata.at("run"), "x");
  EXPECT_EQ(file.find("encoder.0.layer.state.weight")->shape, (std::vector<std::int64_t>{8, 2, 3, 3}));
  EXPECT_EQ(file.find("encoder.0.layer.bias")->shape, (std::vector<std::int64_t>{8}));
  load_weights(other, file);
  EXPECT_EQ(save_weights(other, {}), save_weights(network, {}));
}

TEST(Weights, RefuseAnotherNetwork) {
  const auto backend = kernels::make_backend("reference-f32", {});
  Network network(small(), *backend, 1);
  const auto before = save_weights(network, {});
  const auto message = [&](WeightsFile file) -> std::string {
    try {
      load_weights(network, file);
    } catch (const WeightsError& error) {
      return error.what();
    }
    return "accepted";
  };
  const WeightsFile good = parse_safetensors(before);
  WeightsFile missing = good, more = good, reshaped = good;
  missing.tensors.pop_back();
  EXPECT_NE(message(missing).find("missing"), std::string::npos);
  more.tensors.push_back({"extra", {1}, {0.}, false});
  EXPECT_NE(message(more).find("'extra' is not part"), std::string::npos);
  reshaped.tensors[0].shape = {1, 2, 3, 4};
  EXPECT_NE(message(reshaped).find("shape"), std::string::npos);
  EXPECT_EQ(save_weights(network, {}), before);
  EXPECT_THROW(spec_of(WeightsFile{}), WeightsError);
  EXPECT_THROW(spec_of(WeightsFile{{{"model", "{\"stages\":[]}"}}, {}}), WeightsError);
}

TEST(Weights, ImportRefusesWhatIsNoStack) {
  EXPECT_THROW(import_convlstm_stack(WeightsFile{}), WeightsError);
  const auto tensor = [](const char* name, std::vector<std::int64_t> shape) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= std::size_t(size);
    return WeightTensor{name, shape, std::vector<double>(count), false};
  };
  const auto first = tensor("cell_list.0.conv.weight", {8, 3, 3, 3});
  EXPECT_NO_THROW(import_convlstm_stack({{}, {first}}));
  EXPECT_THROW(import_convlstm_stack({{}, {first, tensor("other", {1})}}), WeightsError);
  EXPECT_THROW(import_convlstm_stack({{}, {tensor("cell_list.0.conv.weight", {8, 3, 2, 2})}}), WeightsError);
  EXPECT_THROW(import_convlstm_stack({{}, {tensor("cell_list.0.conv.weight", {8, 2, 3, 3})}}), WeightsError);
  EXPECT_THROW(import_convlstm_stack({{}, {first, tensor("cell_list.1.conv.weight", {8, 5, 3, 3})}}),
               WeightsError);
  EXPECT_THROW(import_convlstm_stack({{}, {first, tensor("cell_list.0.conv.bias", {7})}}), WeightsError);
}

}  // namespace
}  // namespace raincell::model
