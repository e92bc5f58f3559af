//! The tests of the library, one binary.

mod format;
