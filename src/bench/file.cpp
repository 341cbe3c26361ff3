#include "bench/file.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

[[noreturn]] void fail(const std::string& name, const std::string& reason) {
    throw Error(ErrorCode::io, "file", name, "a place that can be written to (" + reason + ")");
}

}  // namespace

OutputFile OutputFile::create(const std::filesystem::path& path) {
    std::error_code failed;
    if (path.has_parent_path()) {
        std::filesystem::create_directories(path.parent_path(), failed);
        if (failed) {
            fail(path.parent_path().string(), failed.message());
        }
    }
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        fail(path.string(), std::strerror(errno));
    }
    return {descriptor, true, path.string()};
}

OutputFile OutputFile::standard_output() { return {STDOUT_FILENO, false, "standard output"}; }

OutputFile::OutputFile(int descriptor, bool owned, std::string name)
    : descriptor_(descriptor), owned_(owned), name_(std::move(name)) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), owned_(other.owned_), name_(std::move(other.name_)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
    if (this != &other) {
        close();
        descriptor_ = std::exchange(other.descriptor_, -1);
        owned_ = other.owned_;
        name_ = std::move(other.name_);
    }
    return *this;
}

OutputFile::~OutputFile() { close(); }

void OutputFile::close() noexcept {
    if (owned_ && descriptor_ >= 0) {
        ::close(descriptor_);
    }
    descriptor_ = -1;
}

void OutputFile::write(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor_, text.data(), text.size());
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail(name_, std::strerror(errno));
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace moegemm::bench
