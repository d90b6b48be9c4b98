use symbolon_keys::Id;

use crate::context::{Context, Policy};
use crate::error::ContextError;
use crate::records::RecordId;

/// Which context the opener of an envelope expects.
///
/// ```
/// # use symbolon_envelope::{Expect, RecordId};
/// let plain = Expect::absent(); // an age file like any other
/// let mine = Expect::context().record(RecordId::from([7; 16])).owner("alice".parse()?);
/// # Ok::<(), symbolon_keys::InvalidId>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Expect {
    presence: Presence,
    realm: Option<Id>,
    record: Option<RecordId>,
    owner: Option<Id>,
    sequence: Option<u64>,
    policy: Option<Policy>,
    whole: Option<Context>,
}

#[derive(Clone, Copy, Debug)]
enum Presence {
    Either,
    Absent,
    Present,
}

impl Expect {
    const fn new(presence: Presence) -> Self {
        Self { presence, realm: None, record: None, owner: None, sequence: None, policy: None, whole: None }
    }

    /// Anything, and nothing too. For tools that show what is there; a program that acts on an envelope says more.
    pub const fn anything() -> Self {
        Self::new(Presence::Either)
    }

    /// No context.
    pub const fn absent() -> Self {
        Self::new(Presence::Absent)
    }

    /// A context, of which the following calls say more.
    pub const fn context() -> Self {
        Self::new(Presence::Present)
    }

    /// Exactly this context.
    pub fn exactly(context: &Context) -> Self {
        Self { whole: Some(context.clone()), ..Self::context() }
    }

    /// Of this realm.
    pub const fn realm(mut self, realm: Id) -> Self {
        self.realm = Some(realm);
        self
    }

    /// Of this record.
    pub const fn record(mut self, record: RecordId) -> Self {
        self.record = Some(record);
        self
    }

    /// Of this owner.
    pub const fn owner(mut self, owner: Id) -> Self {
        self.owner = Some(owner);
        self
    }

    /// At this version.
    pub const fn sequence(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Under this policy.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    pub(crate) fn check(&self, found: Option<&Context>) -> Result<(), ContextError> {
        let Self { presence, realm, record, owner, sequence, policy, whole } = self;
        let found = match (presence, found) {
            (Presence::Either | Presence::Present, Some(found)) => found,
            (Presence::Either | Presence::Absent, None) => return Ok(()),
            (Presence::Absent, Some(_)) => return Err(ContextError::Unexpected),
            (Presence::Present, None) => return Err(ContextError::Missing),
        };
        let as_expected = realm.is_none_or(|realm| found.realm() == Some(realm))
            && record.is_none_or(|record| found.record() == record)
            && owner.is_none_or(|owner| found.owner() == Some(owner))
            && sequence.is_none_or(|sequence| found.sequence() == sequence)
            && policy.is_none_or(|policy| found.policy() == policy)
            && whole.as_ref().is_none_or(|whole| found == whole);
        if as_expected { Ok(()) } else { Err(ContextError::Mismatch) }
    }
}
