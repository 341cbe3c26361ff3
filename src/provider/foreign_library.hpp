/// \file
/// Libraries of others that a provider is a bridge to, loaded at run time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <moegemm/error.hpp>

namespace moegemm {

/// Where a library is looked for.
struct LibrarySearch {
    std::string title;               ///< for messages: "oneDNN"
    const char* variable;            ///< an environment variable: the library or its folder; where set, nothing else
    std::vector<std::string> files;  ///< its file names, the best first
    std::vector<std::filesystem::path> folders;  ///< searched before the loader's own
};

/// A loaded library. It stays loaded when this is gone: such libraries keep threads and contexts of their own.
class ForeignLibrary {
public:
    /// \throws Error unsupported: no such library, or one that cannot be loaded, with the loader's reason
    [[nodiscard]] static ForeignLibrary open(const LibrarySearch& search);

    /// The file that was loaded.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// As dlopen gave it, for libraries that want to look for functions themselves.
    [[nodiscard]] void* handle() const noexcept { return handle_; }

    /// Sets `function` to a function of the library's, or of a library that it needs; to null where there is none.
    template <class Function>
    void find(const char* name, Function*& function) const noexcept {
        static_assert(std::is_function_v<Function>);
        function = reinterpret_cast<Function*>(address(name));
    }
    /// \throws Error unsupported where the library has no such function
    template <class Function>
    void need(const char* name, Function*& function) const {
        find(name, function);
        if (function == nullptr) {
            throw Error(ErrorCode::unsupported, title_, path_, std::string("a library that has the function ") + name);
        }
    }

private:
    ForeignLibrary(std::string title, std::string path, void* handle)
        : title_(std::move(title)), path_(std::move(path)), handle_(handle) {}
    [[nodiscard]] void* address(const char* name) const noexcept;

    std::string title_;
    std::string path_;
    void* handle_;
};

/// What ForeignLibrary::open and a check of what it found said, as a provider's reason not to be available.
[[nodiscard]] std::string unavailable_reason(const Error& error);

/// Folders in which packages for this process's Python, virtual or Conda environment put libraries:
/// `lib` of the environment's root.
[[nodiscard]] std::vector<std::filesystem::path> environment_library_folders();

/// The same environments' site-packages.
[[nodiscard]] std::vector<std::filesystem::path> site_packages_folders();

/// The folder of the running program; empty where it is not known.
[[nodiscard]] std::filesystem::path program_folder();

}  // namespace moegemm
