//! The tests of the library, one binary.

#[cfg(feature = "conformance")]
mod broken;
#[cfg(feature = "conformance")]
mod stores;
