//! What raft-rs reads of the log, beside log.mdb, which holds the truth and is written by C.
//!
//! Three things are kept here because raft-rs asks for them at every step, or before C has synced
//! them: the hard state at the start, the term of every entry (as runs, since terms change
//! seldom), and the entries that are not yet applied. Older entries, which only a follower that
//! fell behind needs, are read through a callback.

use crate::CConfig;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;

/// Applied entries kept for followers when there are any.
const HELD_BYTES_MAX: usize = 8 << 20;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct CSlice {
    pub data: *const u8,
    pub len: usize,
}

impl CSlice {
    pub fn of(bytes: &[u8]) -> CSlice {
        CSlice {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }
}

#[repr(C)]
pub struct CEntry {
    index: u64,
    term: u64,
    kind: u32,
    data: CSlice,
}

impl CEntry {
    /// Borrowed from the entry.
    pub fn of(e: &Entry) -> CEntry {
        CEntry {
            index: e.index,
            term: e.term,
            kind: e.entry_type as u32,
            data: CSlice::of(&e.data),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CHardState {
    term: u64,
    vote: u64,
    commit: u64,
}

impl From<&HardState> for CHardState {
    fn from(hs: &HardState) -> CHardState {
        CHardState {
            term: hs.term,
            vote: hs.vote,
            commit: hs.commit,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct CTermRun {
    first_index: u64,
    term: u64,
}

pub type ReadFn =
    extern "C" fn(arg: *mut c_void, lo: u64, hi: u64, bytes_max: u64, sink: *mut Sink) -> bool;

/// Takes the entries that a read gives.
pub struct Sink {
    entries: Vec<Entry>,
}

impl Sink {
    /// Copies the entry. False when its kind is unknown.
    ///
    /// # Safety
    /// The entry's data is readable.
    pub unsafe fn push(&mut self, c: &CEntry) -> bool {
        let Some(kind) = EntryType::from_i32(c.kind as i32) else {
            return false;
        };
        let mut e = Entry {
            index: c.index,
            term: c.term,
            ..Entry::default()
        };
        e.set_entry_type(kind);
        e.data = crate::array(c.data.data, c.data.len).to_vec();
        self.entries.push(e);
        true
    }
}

pub struct Mirror {
    hard_state: HardState,
    conf_state: ConfState,
    cut_index: u64,
    cut_term: u64,
    last_index: u64,
    /// Ascending; the first one holds the entry after the cut.
    runs: Vec<CTermRun>,
    /// The last entries of the log, without a hole: at least those that are not applied.
    held: VecDeque<Entry>,
    held_bytes: usize,
    held_bytes_max: usize,
    read: ReadFn,
    read_arg: *mut c_void,
}

impl Mirror {
    /// None when the entries after the applied one cannot be read.
    pub fn load(c: &CConfig) -> Option<Mirror> {
        let mut hard_state = HardState::default();
        hard_state.term = c.hard_state.term;
        hard_state.vote = c.hard_state.vote;
        hard_state.commit = c.hard_state.commit;
        let voters = unsafe { crate::array(c.voters, c.voters_len) }.to_vec();
        let followers = voters.len() > 1;
        let mut mirror = Mirror {
            hard_state,
            conf_state: ConfState {
                voters,
                ..ConfState::default()
            },
            cut_index: c.cut_index,
            cut_term: c.cut_term,
            last_index: c.last_index,
            runs: unsafe { crate::array(c.runs, c.runs_len) }.to_vec(),
            held: VecDeque::new(),
            held_bytes: 0,
            held_bytes_max: if followers { HELD_BYTES_MAX } else { 0 },
            read: c.read,
            read_arg: c.read_arg,
        };
        if c.applied < c.last_index {
            let entries = mirror.read_stored(c.applied + 1, c.last_index + 1, u64::MAX)?;
            if entries.len() as u64 != c.last_index - c.applied {
                return None;
            }
            mirror.held_bytes = entries.iter().map(|e| e.data.len()).sum();
            mirror.held = entries.into();
        }
        Some(mirror)
    }

    fn read_stored(&self, lo: u64, hi: u64, bytes_max: u64) -> Option<Vec<Entry>> {
        let mut sink = Sink {
            entries: Vec::new(),
        };
        if (self.read)(self.read_arg, lo, hi, bytes_max, ptr::addr_of_mut!(sink)) {
            Some(sink.entries)
        } else {
            None
        }
    }

    fn held_first(&self) -> u64 {
        self.last_index + 1 - self.held.len() as u64
    }

    /// Adds entries behind what lies before the first of them.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|e| e.index) else {
            return;
        };
        while self.last_index >= first {
            if let Some(e) = self.held.pop_back() {
                self.held_bytes -= e.data.len();
            }
            self.last_index -= 1;
        }
        self.runs.retain(|r| r.first_index < first);
        for e in entries {
            assert_eq!(e.index, self.last_index + 1);
            if self.runs.last().map_or(true, |r| r.term != e.term) {
                self.runs.push(CTermRun {
                    first_index: e.index,
                    term: e.term,
                });
            }
            self.last_index = e.index;
            self.held_bytes += e.data.len();
            self.held.push_back(e);
        }
    }

    /// The held entries lo <= index < hi.
    pub fn held(&self, lo: u64, hi: u64) -> impl Iterator<Item = &Entry> {
        let first = self.held_first();
        let from = lo.saturating_sub(first) as usize;
        let to = (hi.saturating_sub(first) as usize).min(self.held.len());
        self.held.range(from.min(to)..to)
    }

    pub fn view(&self, lo: u64, hi: u64, out: &mut Vec<CEntry>) {
        out.extend(self.held(lo, hi).map(CEntry::of));
    }

    /// Lets go of applied entries, but for some that followers may want.
    pub fn trim(&mut self, applied: u64) {
        while self.held_bytes > self.held_bytes_max || self.held_bytes_max == 0 {
            match self.held.front() {
                Some(e) if e.index <= applied => {
                    self.held_bytes -= e.data.len();
                    self.held.pop_front();
                }
                _ => break,
            }
        }
    }

    pub fn cut(&mut self, index: u64, term: u64) {
        assert!(self.cut_index <= index && index <= self.last_index);
        self.cut_index = index;
        self.cut_term = term;
        let gone = self.runs.partition_point(|r| r.first_index <= index + 1);
        self.runs.drain(..gone.saturating_sub(1));
        while self.held.front().map_or(false, |e| e.index <= index) {
            if let Some(e) = self.held.pop_front() {
                self.held_bytes -= e.data.len();
            }
        }
    }
}

impl Storage for Mirror {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(
            self.hard_state.clone(),
            self.conf_state.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.cut_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let first = self.held_first();
        if low >= first {
            let mut entries: Vec<Entry> = self.held(low, high).cloned().collect();
            raft::util::limit_size(&mut entries, Some(bytes_max));
            return Ok(entries);
        }
        /* Fewer than asked for is fine. All that raft-rs wants without a follower to send to is
         * held; for a follower it asks again at the next heartbeat. */
        match self.read_stored(low, high.min(first), bytes_max) {
            Some(entries) if !entries.is_empty() => Ok(entries),
            _ if context.can_async() => Err(Error::Store(StorageError::LogTemporarilyUnavailable)),
            _ => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.cut_index {
            return Ok(self.cut_term);
        }
        if index < self.cut_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let run = self.runs.partition_point(|r| r.first_index <= index);
        if index > self.last_index || run == 0 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        Ok(self.runs[run - 1].term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.cut_index + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last_index)
    }

    /// Snapshots are not sent yet: logs with followers are not cut.
    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
