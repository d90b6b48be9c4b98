//! Parsers fed by strangers: what is accepted is canonical, and nothing panics.

use symbolon_agreement::noise::Protocol;
use symbolon_agreement::{Assignment, Declined, Refusal, Responder, Suite, ticket_of};
use symbolon_keys::{Backend, NoiseSecretKey, Secret};

pub(crate) fn run(data: &[u8]) {
    if let Ok(refusal) = Refusal::parse(data) {
        assert_eq!(refusal.to_bytes(), data);
    }
    if let Ok(assignment) = Assignment::parse(data) {
        assert!((1..=300).contains(&assignment.ttl().as_secs()));
    }
    if let Ok(ticket) = ticket_of(data) {
        assert_eq!(ticket.as_bytes(), &data[..16]);
    }
    if let Ok(name) = str::from_utf8(data)
        && let Ok(protocol) = name.parse::<Protocol>()
    {
        assert_eq!(protocol.to_string(), name);
    }
    if let Some(number) = data.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
        && let Some(suite) = Suite::from_number(number)
    {
        assert_eq!(suite.number(), number);
        assert!(suite.to_string().parse::<Protocol>().is_ok());
    }
    // A first message: no suite is taken, so that only the hello is looked at.
    let key = NoiseSecretKey::from_secret(Backend::Portable, Secret::from([1; 32]));
    match Responder::new(key).suites(&[]).receive(data, None) {
        Ok(_) => panic!("a suite was taken that is not supported"),
        Err(Declined::Version(version)) => assert_eq!(version, data[0]),
        Err(_) => {}
    }
}
