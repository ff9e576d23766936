//! The raft face: raft-rs behind C functions, declared in shard/raft_face.h.
//!
//! The crate's manifest also pins FAISS and NNG; those are C and C++ libraries that
//! deps/native.sh takes from cargo's build directories, and no Rust code calls them.
