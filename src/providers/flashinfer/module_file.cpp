#include "providers/flashinfer/module_file.hpp"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <moegemm/error.hpp>

namespace moegemm::flashinfer {
namespace {

#if defined(__aarch64__)
constexpr Elf64_Half this_machine = EM_AARCH64;
#else
constexpr Elf64_Half this_machine = EM_X86_64;
#endif

/// nvcc puts device code into this section: containers one behind another, each of entries for one architecture.
/// CUDA's fatbinary.h has the container's header; an entry's is what cuobjdump shows, at these places.
constexpr std::string_view container_section(".nv_fatbin\0", 11);  // a name ends with its NUL
constexpr std::uint32_t container_magic = 0xBA55ED50;
constexpr std::uint64_t container_header_bytes = 16;  // magic, version, header's bytes, bytes of the entries (8)
constexpr std::uint64_t entry_header_bytes = 32;      // what is read of it: kind (2), header's bytes (at 4), …
constexpr std::uint64_t entry_size_at = 8;
constexpr std::uint64_t entry_architecture_at = 28;
constexpr std::uint16_t kind_ptx = 1;
constexpr std::uint16_t kind_machine_code = 2;

class Reader {
public:
    explicit Reader(const std::filesystem::path& path) : path_(path), file_(path, std::ios::binary) {
        std::error_code error;
        size_ = std::filesystem::file_size(path, error);
        if (error || !file_) {
            refuse("a file that can be read");
        }
    }

    [[noreturn]] void refuse(std::string_view why) const {
        throw Error(ErrorCode::plugin, "module", path_.string(), std::string(why));
    }

    [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t bytes) const noexcept {
        return offset <= size_ && bytes <= size_ - offset;
    }

    template <class T>
    T read(std::uint64_t offset) {
        T value{};
        read(offset, &value, sizeof value);
        return value;
    }

    void read(std::uint64_t offset, void* to, std::uint64_t bytes) {
        if (!holds(offset, bytes)) {
            refuse(fmt::format("a whole shared library: it ends after {} bytes", size_));
        }
        file_.seekg(static_cast<std::streamoff>(offset));
        file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
        if (!file_) {
            refuse("a file that can be read");
        }
    }

private:
    std::filesystem::path path_;
    std::ifstream file_;
    std::uint64_t size_ = 0;
};

Elf64_Ehdr read_header(Reader& file) {
    if (!file.holds(0, sizeof(Elf64_Ehdr))) {
        file.refuse("a shared library");
    }
    const auto header = file.read<Elf64_Ehdr>(0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN) {
        file.refuse("a shared library");
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != this_machine) {
        file.refuse("a shared library for this machine's processor");
    }
    return header;
}

/// Bytes that the loader maps and the file does not have would end the process with a bus error.
void check_segments(Reader& file, const Elf64_Ehdr& header) {
    for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
        const auto segment = file.read<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
        if (segment.p_type == PT_LOAD && !file.holds(segment.p_offset, segment.p_filesz)) {
            file.refuse("a whole shared library: a segment of it is cut off");
        }
    }
}

std::optional<Elf64_Shdr> find_containers(Reader& file, const Elf64_Ehdr& header) {
    if (header.e_shnum == 0 || header.e_shstrndx >= header.e_shnum) {
        return std::nullopt;
    }
    const auto section = [&](std::uint64_t index) {
        return file.read<Elf64_Shdr>(header.e_shoff + index * sizeof(Elf64_Shdr));
    };
    const Elf64_Shdr names = section(header.e_shstrndx);
    for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
        const Elf64_Shdr found = section(i);
        char name[container_section.size()] = {};
        const std::uint64_t at = names.sh_offset + found.sh_name;
        if (file.holds(at, sizeof name)) {
            file.read(at, name, sizeof name);
            if (std::string_view(name, sizeof name) == container_section && found.sh_type != SHT_NOBITS) {
                return found;
            }
        }
    }
    return std::nullopt;
}

void add(std::vector<DeviceCode>& all, DeviceCode code) {
    if (std::find(all.begin(), all.end(), code) == all.end()) {
        all.push_back(code);
    }
}

/// The entries of one container.
void read_entries(Reader& file, std::uint64_t at, std::uint64_t end, std::vector<DeviceCode>& all) {
    while (at + entry_header_bytes <= end) {
        const auto kind = file.read<std::uint16_t>(at);
        const auto header = file.read<std::uint32_t>(at + 4);
        const auto size = file.read<std::uint64_t>(at + entry_size_at);
        if (kind == kind_ptx || kind == kind_machine_code) {
            add(all, {file.read<std::int32_t>(at + entry_architecture_at), kind == kind_ptx});
        }
        if (header < entry_header_bytes || header > end - at || size > end - at - header) {
            file.refuse("a module whose device code is whole");
        }
        at += header + size;
    }
}

}  // namespace

std::vector<DeviceCode> read_module_file(const std::filesystem::path& path) {
    Reader file(path);
    const Elf64_Ehdr header = read_header(file);
    check_segments(file, header);
    std::vector<DeviceCode> all;
    const std::optional<Elf64_Shdr> containers = find_containers(file, header);
    if (!containers) {
        return all;
    }
    if (!file.holds(containers->sh_offset, containers->sh_size)) {
        file.refuse("a whole shared library: its device code is cut off");
    }
    const std::uint64_t end = containers->sh_offset + containers->sh_size;
    std::uint64_t at = containers->sh_offset;
    while (at + container_header_bytes <= end) {
        if (file.read<std::uint32_t>(at) != container_magic) {
            at += 8;  // zeros between containers, which start at multiples of 8
            continue;
        }
        const auto size = file.read<std::uint64_t>(at + 8);
        at += container_header_bytes;
        if (size > end - at) {
            file.refuse("a module whose device code is whole");
        }
        read_entries(file, at, at + size, all);
        at += size;
    }
    return all;
}

bool runs_on(const std::vector<DeviceCode>& code, int capability) noexcept {
    return std::any_of(code.begin(), code.end(), [&](const DeviceCode& one) {
        return one.capability <= capability && (one.ptx || one.capability / 10 == capability / 10);
    });
}

std::string text_of(const std::vector<DeviceCode>& code) {
    std::vector<std::string> texts;
    texts.reserve(code.size());
    for (const DeviceCode& one : code) {
        texts.push_back(fmt::format("{}_{}", one.ptx ? "compute" : "sm", one.capability));
    }
    return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, " "));
}

}  // namespace moegemm::flashinfer
