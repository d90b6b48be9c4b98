/// The moments of a commit, in order; a test may fail, delay or die at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitPoint {
    /// A group of requests was taken from the queue.
    Begin,
    /// They were carried out, and nothing is on the disk.
    Applied,
    /// They are on the disk, and nobody knows.
    Committed,
    /// The store has noted how far it is (SQLite: in the guard file); no reply was released.
    Guarded,
}

impl CommitPoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Begin, Self::Applied, Self::Committed, Self::Guarded];
}
