//! Any order of what clients, thieves and the network do: each honest client ends on its own session.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use symbolon_agreement::{
    Applicant, Claim, Established, Suite, Terms, Ticket, TicketId, TicketLimits, Tickets, ticket_of,
};
use symbolon_keys::{OsRng, UnixTime};

use super::{NOW, PORT, World};

/// One thing that happens; the number says to which client.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The client claims, gets its challenge and proves its path, unless the network loses the message numbered. If that
    /// is the proof, the connection breaks, and the client begins again.
    Claim { lost: Option<u8> },
    /// A thief shows the client's claim and waits.
    Steal,
    /// A thief who waits sends a proof: rubbish, or the proof of another client.
    Guess,
    /// A thief shows the claim of this client under the ticket of the next.
    Splice,
    /// Seconds pass.
    Wait(u8),
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        3 => proptest::option::of(0_u8..3).prop_map(|lost| Event::Claim { lost }),
        3 => Just(Event::Steal),
        2 => Just(Event::Guess),
        1 => Just(Event::Splice),
        1 => (0_u8..3).prop_map(Event::Wait),
    ];
    proptest::collection::vec((0..4_usize, event), 0..60)
}

struct Client {
    claim: Claim,
    ticket: TicketId,
    session: Option<Established>,
    /// The last proof that the network saw.
    proof: Option<[u8; 16]>,
}

struct Street<'w> {
    world: &'w World,
    clients: Vec<Client>,
    tickets: Tickets<Ticket>,
    begun: Vec<(TicketId, Established)>,
    thieves: Vec<(TicketId, symbolon_agreement::PathId)>,
    /// Tickets whose proof was lost: they stay until they expire.
    abandoned: usize,
    now: UnixTime,
}

const SUITES: [Suite; 4] = [Suite::XX, Suite::IK, Suite::XX, Suite::NK];

impl<'w> Street<'w> {
    fn new(world: &'w World) -> Self {
        let mut street = Self {
            world,
            clients: Vec::new(),
            tickets: Tickets::new(TicketLimits::default()),
            begun: Vec::new(),
            thieves: Vec::new(),
            abandoned: 0,
            now: NOW,
        };
        street.clients = SUITES.map(|suite| street.client(suite)).into();
        street
    }

    /// A client that was assigned a port.
    fn client(&mut self, suite: Suite) -> Client {
        // As long as may be, so that no wait in between ends it.
        let ttl = Duration::from_secs(300);
        let terms = Terms::new().port(40_123).ttl(ttl);
        let (claim, ticket) = self.world.assigned_with(self.world.initiator(suite), terms);
        let id = ticket.id();
        let applicant = Applicant::at(IpAddr::from([192, 0, 2, 1]));
        self.tickets.insert(id, applicant, NOW, ttl, ticket).unwrap();
        Client { claim, ticket: id, session: None, proof: None }
    }

    fn show(&mut self, claim: &[u8]) -> Option<(TicketId, symbolon_agreement::Challenged)> {
        let id = ticket_of(claim).ok()?;
        let ticket = self.tickets.get_mut(&id)?;
        Some((id, ticket.claim(claim, PORT, self.now, &mut OsRng).ok()?))
    }

    fn happen(&mut self, n: usize, event: Event) {
        let claim = self.clients[n].claim.body().to_vec();
        match event {
            Event::Wait(seconds) => self.now = self.now.saturating_add(Duration::from_secs(seconds.into())),
            Event::Steal => {
                if let Some((id, challenged)) = self.show(&claim) {
                    self.thieves.push((id, challenged.path));
                }
            }
            Event::Splice => {
                let next = &self.clients[(n + 1) % 4];
                let spliced = [next.ticket.as_bytes(), &claim[16..]].concat();
                assert!(self.show(&spliced).is_none());
            }
            Event::Guess => {
                let Some((id, path)) = self.thieves.pop() else { return };
                let proof = self.clients[n].proof.unwrap_or([0; 16]);
                if let Some(ticket) = self.tickets.get_mut(&id) {
                    assert!(ticket.prove(path, &proof, self.now).is_err(), "a thief got in");
                }
            }
            Event::Claim { lost } => self.claim(n, &claim, lost),
        }
    }

    fn claim(&mut self, n: usize, claim: &[u8], lost: Option<u8>) {
        if self.clients[n].session.is_some() || lost == Some(0) {
            return;
        }
        let Some((id, challenged)) = self.show(claim) else { panic!("the owner was turned away") };
        if lost == Some(1) {
            return;
        }
        let client = &mut self.clients[n];
        let (proof, established) = client.claim.answer(&challenged.message).unwrap();
        client.proof = Some(proof);
        if lost == Some(2) {
            self.abandoned += 1;
            // Whoever has this proof may try it on any path of the ticket.
            let other = self.show(claim).map(|(id, other)| (id, other.path));
            self.thieves.extend(other);
            self.clients[n] = Client { proof: Some(proof), ..self.client(SUITES[n]) };
            return;
        }
        client.session = Some(established);
        let theirs = self.tickets.get_mut(&id).unwrap().prove(challenged.path, &proof, self.now).unwrap();
        self.tickets.remove(&id);
        self.begun.push((id, theirs));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64),
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_honest_client_ends_on_its_own_session(events in events()) {
        // proves A9
        let world = World::new();
        let mut street = Street::new(&world);
        for (n, event) in events {
            street.happen(n, event);
        }
        for n in 0..4 {
            street.happen(n, Event::Claim { lost: None });
        }
        prop_assert_eq!(street.tickets.len(), street.abandoned, "of every other ticket a session came");
        prop_assert_eq!(street.begun.len(), 4);
        for client in &street.clients {
            let mine = client.session.as_ref().unwrap();
            let begun = street.begun.iter().find(|(id, _)| *id == client.ticket).unwrap();
            prop_assert_eq!(mine.context().handshake_hash(), begun.1.context().handshake_hash());
        }
    }
}
