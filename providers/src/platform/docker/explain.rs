//! What to do about what the daemon says.

use bollard::models::ContainerState;

/// What the daemon says in part, and what to do then.
const WAYS_OUT: [(&str, &str); 6] = [
    (
        "port is already allocated",
        "another container has that port: stop it, or give the node another \"port\"",
    ),
    (
        "bind: address already in use",
        "another program has that port: stop it, or give the node another \"port\"",
    ),
    (
        "Address already in use",
        "another container has that address: see which with docker network inspect, and remove it from the network",
    ),
    (
        "cannot assign requested address",
        "the machine of the Docker Engine has no such address: see \"publish\" in provider \"docker\"",
    ),
    (
        "executable file not found",
        "the image lacks it: name one that has the programs of the engine on its PATH, and /bin/sh, as \"image\" in provider \"docker\"",
    ),
    (
        "no space left on device",
        "the disk of the Docker Engine, or of the volume, is full: see what takes it with docker system df",
    ),
];

/// Adds to what the daemon says what to do about it, where that is known.
pub(super) fn explained(message: String) -> String {
    match WAYS_OUT.iter().find(|(said, _)| message.contains(said)) {
        Some((_, way_out)) => format!("{}; {way_out}", message.trim_end()),
        None => message,
    }
}

/// Says what to do about what a server says in its log, where that has to do with its container: of a process that the kernel killed for
/// want of memory the daemon tells nothing.
pub(super) fn said(log: &[String], memory: Option<u64>) -> Option<String> {
    let has = |text: &str| log.iter().any(|line| line.contains(text));
    if has("No space left on device") {
        return Some(
            "The disk of the Docker Engine, or of the volume, is full: see what takes it with docker system df, and make room. The server \
             goes on by itself, or with: simdb apply"
                .to_owned(),
        );
    }
    let memory = memory.filter(|_| has("was terminated by signal 9"))?;
    Some(format!(
        "A process of the server was killed, which is what happens where the container needs more memory than the {} MB that it may have: \
         give the node more (\"memory\"), or let its server use less (shared_buffers, work_mem, max_connections).",
        memory >> 20
    ))
}

/// The status of a container whose first process was killed.
const KILLED: i64 = 137;

/// Says how a container ended, where it did not end in order.
pub(super) fn ended(state: &ContainerState, memory: Option<u64>) -> Option<String> {
    let status = state
        .exit_code
        .filter(|status| *status != 0 && state.running != Some(true))?;
    if let Some(error) = state.error.as_ref().filter(|error| !error.is_empty()) {
        return Some(format!(
            "The container could not be started: {}",
            explained(error.clone())
        ));
    }
    let cause = match (status, state.oom_killed) {
        (_, Some(true)) => match memory {
            Some(memory) => format!(
                ", because it needed more memory than the {} MB that it may have: give the node more (\"memory\"), or let its server use \
                 less (shared_buffers, work_mem, max_connections)",
                memory >> 20
            ),
            None => ", because the machine of the Docker Engine had no memory left for it".to_owned(),
        },
        (KILLED, _) => {
            ", because its first process was killed from outside (docker kill, or the kernel short of memory: dmesg)"
                .to_owned()
        }
        _ => String::new(),
    };
    Some(format!("The container exited with status {status}{cause}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_refuses_is_told_with_a_way_out() {
        let said = |message: &str| explained(message.to_owned());
        let port = said("driver failed: Bind for 127.0.0.1:15432 failed: port is already allocated\n");
        assert!(
            port.ends_with("allocated; another container has that port: stop it, or give the node another \"port\"")
        );
        let program = said("exec: \"postgres\": executable file not found in $PATH: unknown");
        assert!(program.contains("the image lacks it"), "{program}");
        assert_eq!(said("conflict"), "conflict");
    }

    #[test]
    fn what_a_server_says_of_its_container_is_told_with_a_way_out() {
        let log = |line: &str| vec![line.to_owned()];
        let killed = log("LOG:  server process (PID 41) was terminated by signal 9: Killed");
        assert!(said(&killed, Some(64 << 20)).unwrap().contains("than the 64 MB"));
        assert_eq!(said(&killed, None), None, "somebody killed it");
        let full = log("PANIC:  could not write to file: No space left on device");
        assert!(said(&full, None).unwrap().contains("docker system df"));
        assert_eq!(said(&log("LOG:  ready"), Some(1)), None);
    }

    #[test]
    fn how_a_container_ended_is_told_unless_it_ended_in_order() {
        let state = |exit_code: i64, oom_killed: bool, error: &str| ContainerState {
            exit_code: Some(exit_code),
            oom_killed: Some(oom_killed),
            error: Some(error.to_owned()),
            running: Some(false),
            ..ContainerState::default()
        };
        let ended = |state: &ContainerState| ended(state, Some(64 << 20));
        assert_eq!(ended(&state(0, false, "")), None);
        let running = ContainerState {
            running: Some(true),
            ..state(137, false, "")
        };
        assert_eq!(ended(&running), None);
        assert!(
            ended(&state(137, true, ""))
                .unwrap()
                .contains("more memory than the 64 MB that it may have")
        );
        assert!(ended(&state(137, false, "")).unwrap().contains("killed from outside"));
        assert_eq!(
            ended(&state(1, false, "")).unwrap(),
            "The container exited with status 1."
        );
        assert!(
            ended(&state(128, false, "no space left on device"))
                .unwrap()
                .contains("docker system df")
        );
    }
}
