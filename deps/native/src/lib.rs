//! The raft face: raft-rs behind C functions, declared and documented in shard/raft_face.h.
//!
//! No logic of its own: it carries bytes and numbers between C and `RawNode`, keeps the part of the
//! log that raft-rs asks for all the time (mirror.rs), and refuses messages on which raft-rs would
//! panic (screen.rs). A panic aborts the process.
//!
//! The crate's manifest also pins FAISS and NNG; those are C and C++ libraries that
//! deps/native.sh takes from cargo's build directories, and no Rust code calls them.

mod mirror;
mod screen;

use mirror::{CEntry, CHardState, CSlice, CTermRun, Mirror, ReadFn, Sink};
use prost::Message as _;
use raft::eraftpb::Message;
use raft::{Config, RawNode, StateRole};
use std::ffi::c_void;
use std::slice;

/// Bytes of entries in one append message, beyond the first entry.
const APPEND_BYTES_MAX: u64 = 1 << 20;
const INFLIGHT_APPENDS_MAX: usize = 64;
/// What raft-rs copies for one Ready; the C side takes entries to apply from the mirror.
const COMMITTED_BYTES_MAX: u64 = 16 << 20;
const UNCOMMITTED_BYTES_MAX: u64 = 256 << 20;

#[repr(C)]
pub struct CConfig {
    id: u64,
    voters: *const u64,
    voters_len: usize,
    hard_state: CHardState,
    cut_index: u64,
    cut_term: u64,
    last_index: u64,
    runs: *const CTermRun,
    runs_len: usize,
    applied: u64,
    election_ticks: u32,
    heartbeat_ticks: u32,
    seed: u64,
    read: ReadFn,
    read_arg: *mut c_void,
}

#[repr(C)]
pub struct CMessage {
    to: u64,
    bytes: CSlice,
}

#[repr(C)]
pub struct CReady {
    entries: *const CEntry,
    entries_len: usize,
    hard_state: CHardState,
    has_hard_state: bool,
    must_sync: bool,
    messages_wait: bool,
    messages: *const CMessage,
    messages_len: usize,
}

#[repr(C)]
pub struct CStatus {
    term: u64,
    leader: u64,
    commit: u64,
    last_index: u64,
    is_leader: bool,
}

pub struct Node {
    raw: RawNode<Mirror>,
    seed: u64,
    /// Number of the Ready that was taken and not yet reported as persisted.
    taken: u64,
    /// Entries up to it were handed out as committed.
    committed: u64,
    applied: u64,
    /// What the last Ready pointed to.
    entries: Vec<CEntry>,
    messages: Vec<CMessage>,
    message_bytes: Vec<Vec<u8>>,
}

impl Node {
    fn new(c: &CConfig) -> Option<Node> {
        let mirror = Mirror::load(c)?;
        let config = Config {
            id: c.id,
            election_tick: c.election_ticks as usize,
            heartbeat_tick: c.heartbeat_ticks as usize,
            applied: c.applied,
            max_size_per_msg: APPEND_BYTES_MAX,
            max_inflight_msgs: INFLIGHT_APPENDS_MAX,
            max_committed_size_per_ready: COMMITTED_BYTES_MAX,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node = Node {
            raw: RawNode::new(&config, mirror, &logger).ok()?,
            seed: c.seed,
            taken: 0,
            committed: c.applied,
            applied: c.applied,
            entries: Vec::new(),
            messages: Vec::new(),
            message_bytes: Vec::new(),
        };
        node.pin_timeout();
        Some(node)
    }

    /// raft-rs draws the election timeout from a thread-local generator; here it follows from the
    /// seed, the node and the term, so that a run with the same seed repeats.
    fn pin_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let base = raft.election_timeout() as u64;
        let draw = split_mix(split_mix(self.seed ^ raft.id) ^ raft.term);
        raft.set_randomized_election_timeout((base + draw % base) as usize);
    }

    fn take(&mut self, out: &mut CReady) {
        let mut ready = self.raw.ready();
        self.taken = ready.number();
        let immediate = ready.take_messages();
        let waiting = ready.take_persisted_messages();
        debug_assert!(immediate.is_empty() || waiting.is_empty());
        out.messages_wait = !waiting.is_empty();
        self.hold_messages(immediate.iter().chain(waiting.iter()));
        if let Some(last) = ready.committed_entries().last() {
            self.committed = last.index;
        }
        let hard_state = ready.hs().map(CHardState::from);
        out.has_hard_state = hard_state.is_some();
        out.hard_state = hard_state.unwrap_or_default();
        out.must_sync = ready.must_sync();
        let entries = ready.take_entries();
        let first = entries.first().map(|e| e.index);
        let mirror = self.raw.mut_store();
        mirror.append(entries);
        self.entries.clear();
        if let Some(first) = first {
            mirror.view(first, u64::MAX, &mut self.entries);
        }
        self.raw.advance_append_async(ready);
        out.entries = self.entries.as_ptr();
        out.entries_len = self.entries.len();
        out.messages = self.messages.as_ptr();
        out.messages_len = self.messages.len();
    }

    fn hold_messages<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) {
        self.messages.clear();
        self.message_bytes.clear();
        for m in messages {
            let bytes = m.encode_to_vec();
            self.messages.push(CMessage {
                to: m.to,
                bytes: CSlice::of(&bytes),
            });
            self.message_bytes.push(bytes); /* moves the Vec, not its bytes */
        }
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood, 2014).
fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A C array that may be NULL when it is empty.
///
/// # Safety
/// `data` points to `len` values that live as long as the result.
unsafe fn array<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, len)
    }
}

// What follows is called from C. Each pointer is what raft_face.h says: valid, and used by one
// thread at a time.

#[no_mangle]
pub unsafe extern "C" fn raft_node_new(config: *const CConfig) -> *mut Node {
    match Node::new(&*config) {
        Some(node) => Box::into_raw(Box::new(node)),
        None => std::ptr::null_mut(),
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_free(node: *mut Node) {
    if !node.is_null() {
        drop(Box::from_raw(node));
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_sink_push(sink: *mut Sink, entry: *const CEntry) -> bool {
    (*sink).push(&*entry)
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_tick(node: *mut Node) {
    (*node).raw.tick();
    (*node).pin_timeout();
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_campaign(node: *mut Node) {
    /* It fails only on a node that is not promotable, which stays a follower. */
    let _ = (*node).raw.campaign();
    (*node).pin_timeout();
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_step(node: *mut Node, bytes: CSlice) -> bool {
    let node = &mut *node;
    let Ok(message) = Message::decode(array(bytes.data, bytes.len)) else {
        return false;
    };
    let taken = screen::fits(&node.raw, &message) && node.raw.step(message).is_ok();
    node.pin_timeout();
    taken
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_propose(node: *mut Node, data: CSlice) -> u64 {
    let node = &mut *node;
    if node.raw.raft.state != StateRole::Leader {
        return 0; /* raft-rs would forward it, and its index would be unknown here */
    }
    let bytes = array(data.data, data.len).to_vec();
    match node.raw.propose(Vec::new(), bytes) {
        Ok(()) => node.raw.raft.raft_log.last_index(),
        Err(_) => 0,
    }
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_has_ready(node: *const Node) -> bool {
    (*node).raw.has_ready()
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_take(node: *mut Node, out: *mut CReady) {
    (*node).take(&mut *out);
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_persisted(node: *mut Node) {
    let taken = (*node).taken;
    (*node).raw.on_persist_ready(taken);
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_unapplied(
    node: *const Node,
    out: *mut CEntry,
    len_max: usize,
    bytes_max: usize,
) -> usize {
    let node = &*node;
    let mut n = 0;
    let mut bytes = 0;
    for entry in node.raw.store().held(node.applied + 1, node.committed + 1) {
        bytes += entry.data.len();
        if n == len_max || (n > 0 && bytes > bytes_max) {
            break;
        }
        out.add(n).write(CEntry::of(entry));
        n += 1;
    }
    n
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_applied(node: *mut Node, index: u64) {
    let node = &mut *node;
    assert!(node.applied <= index && index <= node.committed);
    node.applied = index;
    node.raw.advance_apply_to(index);
    node.raw.mut_store().trim(index);
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_cut(node: *mut Node, cut_index: u64, cut_term: u64) {
    (*node).raw.mut_store().cut(cut_index, cut_term);
}

#[no_mangle]
pub unsafe extern "C" fn raft_node_status(node: *const Node, out: *mut CStatus) {
    let raft = &(*node).raw.raft;
    *out = CStatus {
        term: raft.term,
        leader: raft.leader_id,
        commit: raft.raft_log.committed,
        last_index: raft.raft_log.last_index(),
        is_leader: raft.state == StateRole::Leader,
    };
}
