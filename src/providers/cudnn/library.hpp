/// \file
/// cuDNN, loaded at run time.
#pragma once

#include <cstddef>
#include <string>

#include "provider/foreign_library.hpp"

namespace moegemm::cudnn {

struct Library {
    ForeignLibrary file;
    std::size_t number;   ///< as cudnnGetVersion gives it: 91900
    std::string version;  ///< "9.19.0"

    /// Version 9.28 takes E+1 offsets, as m_indptr has them; earlier ones take E and end the last expert's rows with
    /// A's.
    [[nodiscard]] bool takes_end() const noexcept { return number >= 92800; }

    /// 9.19 reads a scalar that the products are multiplied by as if it had an element a row: from the second expert
    /// on, from memory behind it. FlashInfer, which passes a scalar, asks for 9.21; earlier versions get one a row.
    [[nodiscard]] bool takes_scalar() const noexcept { return number >= 92100; }

    /// \throws Error unsupported: not found, not loadable, or without the MoE grouped matmul
    [[nodiscard]] static Library load();
};

}  // namespace moegemm::cudnn
