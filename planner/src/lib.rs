//! Text and facts in, a plan out. Synchronous: no I/O, no clock, no randomness; same inputs, same bytes.
//!
//! ```text
//!   *.simdb.hcl ─► config ─► Desired ───────┐
//!   State (recorded) ─┐                     ├─ intend ─► diff ─► [Change]
//!                     ├─► before ───────────┤      └──► lower ─► order ─► check ─► Plan
//!   Observed (facts) ─┘                     ┘
//! ```
//!
//! # The step table
//!
//! A step without a row does not exist. *Changes* is the recorded attribute whose difference the step is: an effect that
//! is the difference of no recorded attribute would be lost by a crash. *Crash* says what the next plan makes of a step
//! that was started and not recorded as done.
//!
//! | Step | Changes | Observed by | Impact | Safe to run twice because | Crash in the middle → next plan |
//! |---|---|---|---|---|---|
//! | `network` | network: subnet, the other platforms that have a part of it | platform, each part (a name and its addresses on the local platform) | none | a part that has these addresses is kept | again |
//! | `primary` | cluster; election; node: data, instance, role, power | instance directory, control data, SQL | none | complete data is kept, a server that runs is left alone | an unfinished data directory is removed, complete data is taken over |
//! | `replication-user` | user: attributes, `password_version` | catalog; the password by its verifier | none, write-pause (another password, where commits wait) | `CREATE` or `ALTER`, whichever fits; files are compared before they are written | again, passfiles and streams included, with the password that was stored before it started |
//! | `user` | user: attributes, settings, keyed digest of a given password, `password_version` | catalog; passwords by their verifiers | none | `CREATE` or `ALTER`, whichever fits | again, with the password that was stored before it started |
//! | `database` | database: owner, settings, `prevent_destroy` | catalog | none | `CREATE` or `ALTER`, whichever fits | again |
//! | `seed` | seed: database, digest; database, user: the settings that it makes sessions begin with | its mark: a setting of the database, made in the seed's own transaction | none | one whose mark is there does not run | again: it runs if it did not commit, else it is only recorded; an owner who may not log in and was let in for the run is shut out again |
//! | `slot` | node: slot on its upstream, and the one it leaves | catalog | none | a slot of that name is kept | again |
//! | `basebackup` | node: data (generation, origin, system identifier) | instance directory, control data | none | complete data is kept | an unfinished copy is removed; a complete one of the same cluster whose slot is there is taken over, any other is replaced |
//! | `import` | node: data (generation, origin, system identifier, where it is), instance, role, power; with the primary cluster, election | instance directory, control data, SQL | restart, downtime (primary) | a link that is there is kept, and a server that simdb started is left alone | again: linked data is found in the instance directory, its server down or as it was made |
//! | `standby` | node: instance, role, power | SQL | none | a server that runs is left alone | again: it waits until the standby streams; a server that was started with other settings is stopped first |
//! | `start` | node: power, `stopped_by_request` | instance directory | none | a server that runs is left alone, one halted by a signal goes on | again, or nothing where it runs |
//! | `stop` | node: power, `stopped_by_request` | instance directory | restart, downtime (primary) | a server that is down is fine | again |
//! | `configure` | node: parameters | files, settings | reload, restart, downtime (primary) | files are compared before they are written | again |
//! | `open` | cluster: verified | files | none | it waits for standbys, then files are compared before they are written | again: its `pg_hba.conf` lets no clients in yet |
//! | `follow` | node: role (follows), instance | SQL | reload | files are compared before they are written | again: its settings differ from what they should be |
//! | `cluster` | cluster: what is declared of it, but for its names and its proof | – | none | only the record changes | again |
//! | `record` | node: `prevent_destroy`; what `-refresh-only` accepts: user, database, node (parameters) | – | none | only the record changes | again |
//! | `sync-names` | cluster: `synchronous_standby_names` (tightened when the standbys stream, loosened before one leaves) | settings of the primary | none, reload | files are compared before they are written | again, also where the server has the names already |
//! | `resume` | cluster: verified | SQL | none | a standby that replays goes on | again |
//! | `verify-sync` | cluster: verified | – (any change of topology or term, and any start, clears it) | none | it only looks, and writes a marker to the log | again |
//! | `degrade` | cluster: degraded since | – | none | only the record changes | again: who is lost is looked at anew |
//! | `elect` | cluster: election (term, primary, pin seen, reason); node: role (of one that a cut-off run promoted), `needs_rebuild` (those that a failover leaves behind) | – | none | it is compare-and-set: a term is held once; a standby that takes over from a primary that serves must keep up with it first | the election is carried through, or back on request |
//! | `fence` | node: role fenced with its proof, or with who answers for it, power | instance directory, control data | write-pause, downtime (killed while it serves) | a server that is down stays down, a seal stays a seal | again; one that crashed meanwhile is started, and shut down in order |
//! | `promote` | cluster: switch point and verdict, `synchronous_standby_names` beside those of the former primary; node: role, instance, slot | SQL, history file | write-pause, data-loss (nothing shows that nothing is lost) | a server that writes already is not promoted again | again: it finds the promotion done, and records it |
//! | `rewind` | node: data (generation, origin, system identifier) | instance directory, control data | none | complete data is kept | the data has become a partial directory, and the node is cloned; so is one that `pg_rewind` left as it was |
//! | `endpoint` | endpoint: nodes, hosts | its route | none | the route is written whole | again |
//! | `pooler` | endpoint: pooler (where it listens and leads, pool mode, power) | instance directory, files | none, reload, restart | files are compared before they are written, one that runs is left alone | again |
//! | `pause` | endpoint: pooler paused, from its start | – | write-pause | clients that wait already go on waiting | again, or clients are let go on |
//! | `repoint` | endpoint: pooler (where it leads) | files | none | files are compared before they are written | again |
//! | `unpause` | endpoint: pooler paused | – | none | where nobody waits it changes nothing | again |
//! | `stop-pooler` | endpoint: pooler (power) | instance directory | none | one that is down is fine | again |
//! | `drop-pooler` | endpoint: pooler absent | instance directory | none | what is gone stays gone | again; an instance directory that nobody recorded is removed |
//! | `drop-node` | node absent; all but its slot where its upstream stays | instance directory | data-loss with its cluster, else none | what is gone stays gone | again; an instance directory that nobody recorded is removed |
//! | `drop-slot` | node absent, or a slot it left | catalog | none | a slot that is gone is fine | again |
//! | `drop-endpoint` | endpoint absent | its route | none | a route that is gone is fine | again |
//! | `drop-user` | user absent | catalog (what it owns, too) | none | a role that is gone is fine; with its cluster only the record changes | again |
//! | `drop-database` | database absent | catalog | data-loss; none with its cluster | a database that is gone is fine; with its cluster only the record changes | again |
//! | `drop-seed`, `drop-cluster` | absent | – (what a seed did stays, the others go with the data) | none | only the record changes | again |
//! | `drop-network` | absent, or without its parts on platforms that no node is on any more | platform, each part | none | what is gone stays gone | again |
//!
//! A step that finds out that no server can go on with a standby's data fails and records that (node: damage), whatever it was
//! doing; the next plan clones the node. `verify` records the same of a node that holds something else than the others: it
//! takes no lead until its data is made anew.
//!
//! # Order
//!
//! A step says what it needs and what it gives, as facts: `HasData(node)`, `Serves(node)`, `Stopped(node)`. It waits for the
//! steps that give what it needs, and its guard asks the record for the same just before it runs. So what clones or follows
//! waits for a source that serves, and what goes, goes last; at no point of any plan are two nodes of a cluster writers: a
//! node that led is fenced, with proof, before another one is promoted. Rules choose among the orders that are left: while
//! nothing writes, nothing is done that could have been done before or can be done after. `simulate` (feature `testing`)
//! enforces it on plans by the thousands.

pub mod config;
pub mod desired;
pub mod engine;
pub mod guard;
pub mod health;
pub mod observed;
pub mod plan;
pub mod planner;
pub mod platform;
#[cfg(any(test, feature = "testing"))]
pub mod simulate;
pub mod text;
pub mod watch;

pub use simdb_language::{diagnostic, suggest};
