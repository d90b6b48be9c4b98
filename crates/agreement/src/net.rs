//! Listener and connection over tokio: the well-known port, the assigned ones, and the sessions that come of them.
//!
//! ```no_run
//! # use symbolon_agreement::net;
//! # use symbolon_keys::{NoisePublicKey, NoiseSecretKey};
//! # async fn serve(key: NoiseSecretKey) -> Result<(), Box<dyn std::error::Error>> {
//! let listener = net::Listener::bind("0.0.0.0:7000", key).policy(net::Policy::default()).await?;
//! while let Some(mut session) = listener.accept().await {
//!     tokio::spawn(async move {
//!         while let Some(message) = session.recv().await? {
//!             session.send(&message).await?;
//!         }
//!         session.close().await
//!     });
//! }
//! # Ok(())
//! # }
//! # async fn call(key: NoiseSecretKey, server: NoisePublicKey) -> Result<(), Box<dyn std::error::Error>> {
//! let mut session = net::connect("server.example:7000", &key, server).await?;
//! session.send(b"pay 5").await?;
//! let answer = session.recv().await?;
//! # Ok(())
//! # }
//! ```

mod clock;
mod connect;
mod connection;
mod error;
mod guests;
mod listener;
mod policy;
mod ports;
mod serve;
mod session;
mod stream;

pub use connect::{Assigned, Connector, begin, connect};
pub use error::{BindError, ConnectError, SessionError, Stage};
pub use listener::{Listener, ListenerBuilder};
pub use policy::{Deadlines, Policy};
pub use session::{RecvHalf, SendHalf, Session};
pub use stream::SessionStream;
