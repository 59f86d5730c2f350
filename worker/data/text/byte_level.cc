#include "worker/data/text/byte_level.h"

#include <array>

#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr int kNumSymbols = 0x144;  // 256 + the 68 bytes that get a character of their own, less one

struct Alphabet {
  std::array<std::string, 256> symbols;
  std::array<int, kNumSymbols> bytes;  // of a character; -1: none

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const char32_t character = printable ? static_cast<char32_t>(byte) : next++;
      bytes[character] = byte;
      AppendCharacter(character, &symbols[static_cast<size_t>(byte)]);
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::optional<std::string> BytesOfSymbols(absl::string_view token) {
  const Alphabet& alphabet = TheAlphabet();
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t at = 0; at < token.size();) {
    size_t size = 0;
    const char32_t character = DecodeCharacter(token, at, &size);
    if (character >= alphabet.bytes.size() || alphabet.bytes[character] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(alphabet.bytes[character]));
    at += size;
  }
  return bytes;
}

std::string SymbolsOfBytes(absl::string_view bytes) {
  const Alphabet& alphabet = TheAlphabet();
  std::string symbols;
  symbols.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) symbols += alphabet.symbols[static_cast<unsigned char>(byte)];
  return symbols;
}

}  // namespace vernier::data
