//! Which messages reach raft-rs. It panics on what no correct peer sends, and a peer may be broken:
//! so a message is looked at first, and one that does not fit is refused.

use crate::mirror::Mirror;
use raft::eraftpb::{Message, MessageType};
use raft::RawNode;

/// Elections count terms up by one; a jump beyond this is no election's, and would soon leave no
/// terms to count to.
const TERM_JUMP_MAX: u64 = 1 << 32;

pub fn fits(raw: &RawNode<Mirror>, m: &Message) -> bool {
    let raft = &raw.raft;
    if m.term == 0 || m.to != raft.id || m.from == raft.id || raft.prs().get(m.from).is_none() {
        return false;
    }
    if m.term > raft.term.saturating_add(TERM_JUMP_MAX) || m.request_snapshot != 0 {
        return false;
    }
    let last = raft.raft_log.last_index();
    match MessageType::from_i32(m.msg_type) {
        Some(MessageType::MsgAppend) => entries_fit(raw, m),
        Some(MessageType::MsgHeartbeat) => m.commit <= last,
        Some(MessageType::MsgAppendResponse) => m.reject || m.index <= last,
        Some(
            MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse,
        ) => m.commit == 0 || m.commit_term <= m.term,
        Some(MessageType::MsgHeartbeatResponse) => true,
        /* Forwarded proposals, snapshots, leader transfer and read index are not spoken yet. */
        _ => false,
    }
}

/// Entries follow each other, their terms do not fall, and none differs from a committed one. Term
/// 0 belongs to index 0 alone: raft-rs answers it for every index that is not there.
fn entries_fit(raw: &RawNode<Mirror>, m: &Message) -> bool {
    let log = &raw.raft.raft_log;
    if (m.index == 0) != (m.log_term == 0) {
        return false;
    }
    let mut index = m.index;
    let mut term = m.log_term;
    for e in &m.entries {
        index = index.saturating_add(1);
        if e.index != index || e.term == 0 || e.term < term || e.term > m.term {
            return false;
        }
        term = e.term;
        if index <= log.committed && index >= log.first_index() && log.term(index) != Ok(term) {
            return false;
        }
    }
    true
}
