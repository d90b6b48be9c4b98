//! Listener and connection over loopback: the story of the port, and what attackers do to it.

mod events;
mod hostile;
mod sessions;

use std::sync::Arc;

use symbolon_agreement::net::{Listener, Policy};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng};

pub(crate) fn key() -> NoiseSecretKey {
    NoiseSecretKey::generate(Backend::best(), &mut OsRng)
}

pub(crate) async fn listen(policy: Policy) -> (Arc<Listener>, NoisePublicKey) {
    let key = key();
    let public = *key.public_key();
    (Arc::new(Listener::bind("127.0.0.1:0", key).policy(policy).await.unwrap()), public)
}

/// Answers every message of every session with the same message.
pub(crate) fn echo(listener: &Arc<Listener>) {
    let listener = Arc::clone(listener);
    tokio::spawn(async move {
        while let Some(mut session) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(message)) = session.recv().await {
                    session.send(&message).await.unwrap();
                }
                session.close().await.unwrap();
            });
        }
    });
}
