//! The native archive: everything Shoal links that comes as a Rust crate, in one static library.
//!
//! There is no logic here beyond the raft face. FAISS and NNG are C and C++ libraries that their
//! crates build; naming the crates is what makes the archive carry their objects.

extern crate faiss_sys as _;
extern crate nng_c_sys as _;
