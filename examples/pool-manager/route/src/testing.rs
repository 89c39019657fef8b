//! Servers that tests make up: they speak as much of PostgreSQL's protocol as probes and simple queries need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_util::sync::CancellationToken;

use crate::dial::{Dial, Driver};
use crate::intent::Lag;
use crate::lsn::Lsn;
use crate::manager::PoolManager;
use crate::sight::{Role, Sight};

/// Returns what a server says of itself.
pub(crate) fn sight(role: Role, timeline: u32, lsn: u64, started: &str) -> Sight {
    Sight {
        role,
        timeline,
        lsn: Lsn(lsn),
        recovered: None,
        system: "7".to_owned(),
        started: started.to_owned(),
    }
}

/// A server.
pub(crate) struct Server {
    pub(crate) sight: Sight,
    /// It takes connections.
    up: bool,
    /// It takes connections and answers nothing.
    pub(crate) hangs: bool,
    /// It takes no further connection, although it runs.
    pub(crate) full: bool,
    /// Its connection ends at a commit: before the commit is acknowledged, or right after.
    pub(crate) breaks: Option<Commit>,
    /// How many connections were opened, and how many writes were refused.
    pub(crate) opened: usize,
    pub(crate) refused: usize,
    pub(crate) written: usize,
    alive: CancellationToken,
}

/// When a connection breaks.
#[derive(Clone, Copy)]
pub(crate) enum Commit {
    Unanswered,
    Acknowledged,
}

/// The servers, by their ports.
#[derive(Clone)]
pub(crate) struct World(Arc<BTreeMap<u16, Mutex<Server>>>);

impl World {
    /// Makes a primary at port 1, and standbys at the ports after it.
    pub(crate) fn of(servers: u16) -> Self {
        let server = |port: u16| {
            let role = if port == 1 { Role::Primary } else { Role::Standby };
            let server = Server {
                sight: sight(role, 1, 1000, &format!("start of {port}")),
                up: true,
                hangs: false,
                full: false,
                breaks: None,
                opened: 0,
                refused: 0,
                written: 0,
                alive: CancellationToken::new(),
            };
            (port, Mutex::new(server))
        };
        Self(Arc::new((1..=servers).map(server).collect()))
    }

    pub(crate) fn server(&self, port: u16) -> MutexGuard<'_, Server> {
        self.0[&port].lock().unwrap()
    }

    /// Ends a server and its connections.
    pub(crate) fn kill(&self, port: u16) {
        let mut server = self.server(port);
        server.up = false;
        std::mem::take(&mut server.alive).cancel();
    }

    pub(crate) fn start(&self, port: u16) {
        self.server(port).up = true;
    }

    /// Makes a standby the primary of the next timeline.
    pub(crate) fn promote(&self, port: u16) {
        let sight = &mut self.server(port).sight;
        sight.role = Role::Primary;
        sight.timeline += 1;
        sight.recovered = Some(sight.lsn);
    }

    pub(crate) fn config(&self) -> crate::Config {
        let hosts = self.0.keys().map(|port| format!("host:{port}")).collect::<Vec<_>>();
        crate::Config::from_urls(&format!("postgres://app:hidden@{}/d", hosts.join(",")), None).unwrap()
    }

    pub(crate) async fn pools(&self) -> PoolManager {
        self.pools_of(self.config()).await
    }

    pub(crate) async fn pools_of(&self, config: crate::Config) -> PoolManager {
        PoolManager::dial(config, Arc::new(self.clone())).await
    }

    /// Returns a configuration in which no read asks how far a replica is behind.
    pub(crate) fn without_limits(&self) -> crate::Config {
        crate::Config {
            max_lag: Lag::default(),
            ..self.config()
        }
    }
}

#[async_trait]
impl Dial for World {
    async fn dial(&self, config: &Config) -> Result<(Client, Driver), Error> {
        let port = config.get_ports()[0];
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let alive = {
            let mut server = self.server(port);
            server.opened += usize::from(server.up);
            server.up.then(|| server.alive.clone())
        };
        // A server that is down ends the connection at once.
        if let Some(alive) = alive {
            let world = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = serve(world, port, theirs) => {}
                    () = alive.cancelled() => {}
                }
            });
        } else {
            drop(theirs);
        }
        let (client, connection) = config.connect_raw(ours, NoTls).await?;
        Ok((client, Box::pin(connection)))
    }
}

/// Serves one connection.
async fn serve(world: World, port: u16, mut stream: DuplexStream) -> std::io::Result<()> {
    let length = stream.read_u32().await? as usize;
    stream.read_exact(&mut vec![0; length - 4]).await?;
    let (hangs, full) = {
        let server = world.server(port);
        (server.hangs, server.full)
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    if full {
        return stream.write_all(&error("53300", "too many clients")).await;
    }
    stream.write_all(&message(b'R', &[0; 4])).await?;
    stream.write_all(&message(b'Z', b"I")).await?;
    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await? as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        if kind != b'Q' {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned();
        let (answer, hangs, breaks) = {
            let mut server = world.server(port);
            let breaks = server.breaks.filter(|_| text.contains("COMMIT"));
            (answer(&mut server, &text), server.hangs, breaks)
        };
        match breaks {
            Some(Commit::Unanswered) => return Ok(()),
            Some(Commit::Acknowledged) => {
                let committed = [rows(&[Some("1")]), done("SELECT 1"), done("COMMIT")].concat();
                return stream.write_all(&committed).await;
            }
            None => {}
        }
        if hangs {
            std::future::pending::<()>().await;
        }
        stream.write_all(&answer).await?;
        stream.write_all(&message(b'Z', b"I")).await?;
    }
}

fn answer(server: &mut Server, text: &str) -> Vec<u8> {
    let sight = server.sight.clone();
    let standby = sight.role == Role::Standby;
    let (lsn, timeline) = (sight.lsn.to_string(), sight.timeline.to_string());
    if text.contains("pg_postmaster_start_time") {
        let role = match sight.role {
            Role::Primary => "primary",
            Role::ReadOnly => "read-only",
            Role::Standby => "standby",
        };
        let recovered = sight.recovered.map(|lsn| lsn.to_string());
        let row = [
            Some(role),
            Some(&timeline),
            Some(&lsn),
            recovered.as_deref(),
            Some(&sight.system),
            Some(&sight.started),
        ];
        return [rows(&row), done("SELECT 1")].concat();
    }
    match text {
        "SELECT pg_is_in_recovery()" => [rows(&[Some(if standby { "t" } else { "f" })]), done("SELECT 1")].concat(),
        crate::sight::REPLAYED => [rows(&[Some(&lsn)]), done("SELECT 1")].concat(),
        text if text.starts_with("INSERT") => {
            if sight.role != Role::Primary {
                server.refused += 1;
                return error("25006", "cannot execute INSERT in a read-only transaction");
            }
            server.sight.lsn.0 += 100;
            server.written += 1;
            done("INSERT 0 1")
        }
        text if text.contains("COMMIT") => [
            rows(&[Some("1")]),
            done("SELECT 1"),
            done("COMMIT"),
            rows(&[Some(&timeline), Some(&lsn)]),
            done("SELECT 1"),
        ]
        .concat(),
        _ => done("OK"),
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn done(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{code}\0M{text}\0\0").as_bytes())
}

/// Returns the description of a row, and the row.
fn rows(row: &[Option<&str>]) -> Vec<u8> {
    let count = u16::try_from(row.len()).unwrap().to_be_bytes();
    let mut description = count.to_vec();
    let mut data = count.to_vec();
    for value in row {
        // Its name, and no table; text, of any length, without a modifier, in text.
        description.extend(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
        match value {
            Some(value) => {
                data.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                data.extend(value.as_bytes());
            }
            None => data.extend([0xff; 4]),
        }
    }
    [message(b'T', &description), message(b'D', &data)].concat()
}
