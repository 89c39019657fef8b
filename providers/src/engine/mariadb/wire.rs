//! MariaDB's protocol, as far as simdb speaks it: one login, and one statement after the other with its whole answer as text.
//!
//! ```text
//!   Connection ─► Wire ─► packet   frames of bytes on a stream
//!                     └─► login    the greeting and the proof of a password
//!                     └─► answer   what came of a statement
//! ```
//!
//! It speaks over whatever stream leads to a server, which is the platform's business. Whoever is at its other end may be anybody:
//! what it sends is read within limits, and the answer to a greeting is never the password itself.

mod answer;
mod login;
mod packet;

use std::fmt;

use simdb_state::sensitive::Sensitive;

pub(super) use self::answer::Answer;
use self::packet::Packets;
pub use self::packet::WireError;
use crate::platform::dial::Stream;

/// Asks the server to run a text.
const COM_QUERY: u8 = 0x03;

/// Tells the server that nothing more follows.
const COM_QUIT: u8 = 0x01;

/// A session with a server. A call that was not waited for to its end leaves the stream out of step: the caller drops it then.
pub(super) struct Wire {
    packets: Packets,
    /// The server's number of this session.
    pub(super) session: u32,
    /// What the server says of its version.
    pub(super) version: String,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Logs in.
    pub(super) async fn log_in(
        stream: Box<dyn Stream>,
        user: &str,
        password: &Sensitive<String>,
    ) -> Result<Self, WireError> {
        let mut packets = Packets::new(stream);
        let greeting = login::Greeting::read(&packets.receive().await?)?;
        packets.send(&greeting.respond(user, password.expose())).await?;
        let mut reply = packets.receive().await?;
        if let Some(salt) = login::asked_again(&reply)? {
            packets.send(&login::proof(password.expose(), &salt)).await?;
            reply = packets.receive().await?;
        }
        login::accepted(&reply)?;
        Ok(Self {
            packets,
            session: greeting.session,
            version: greeting.version,
        })
    }

    /// Runs one statement, and returns its whole answer.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Answer, WireError> {
        self.packets.begin();
        let mut request = vec![COM_QUERY];
        request.extend_from_slice(sql.as_bytes());
        self.packets.send(&request).await?;
        answer::read(&mut self.packets).await
    }

    /// Says that the session is over: the server does not take its end for a broken connection then.
    pub(super) async fn quit(mut self) {
        self.packets.begin();
        // A server that is gone needs no farewell.
        let _ = self.packets.send(&[COM_QUIT]).await;
    }
}
