//! How a writer treats the disk.

/// When what was committed is flushed to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// By each commit, before it returns: it survives a power cut.
    #[default]
    EveryCommit,
    /// When the system likes, by one commit every five seconds, and when the writer is dropped. A commit survives the end of the
    /// process at once; a power cut may take the commits since the last flush, whole ones, and never what was flushed. For programs
    /// that write often and could write their last seconds again.
    System,
}

/// What a writer does, after a commit has returned, so that the directory neither grows for ever nor becomes slow.
///
/// Nothing of it changes what an index holds, and readers never wait for it. It needs as much free disk as what it rewrites.
///
/// ```
/// use fossick::{Housekeeping, Options};
/// let options = Options::new().housekeeping(Housekeeping { history: Some(10), ..Housekeeping::default() });
/// # drop(options);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Housekeeping {
    /// Whether anything is done unasked; true. (Tantivy merges small segments of words in any case.) [`crate::Writer::compact`] does
    /// everything at once.
    pub automatic: bool,
    /// So many fragments (files of rows) of like size are joined into one; 16. Each commit that adds documents makes one.
    pub fragments: u32,
    /// A fragment is rewritten when more than this share of its rows is deleted, from 0 to 1; 0.25.
    pub dead_share: f32,
    /// So many earlier generations are kept besides the tagged ones, to be opened or restored; generations that compacting made do not
    /// count. None: no more are kept, and those that another writer wanted to keep stay; 0 lets go of those too.
    pub history: Option<u32>,
}

impl Default for Housekeeping {
    fn default() -> Self {
        Self { automatic: true, fragments: 16, dead_share: 0.25, history: None }
    }
}
