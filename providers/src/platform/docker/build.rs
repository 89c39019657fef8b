//! Makes the bodies that containers and networks are created from. Nothing is sent here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigLogConfig, Ipam, IpamConfig, Mount, MountType, MountVolumeOptions, NetworkCreateRequest,
    NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use ipnet::Ipv4Net;
use simdb_state::address::EndpointAddress;
use simdb_state::digest::sha256;
use simdb_state::instance::{Command, InstanceSpec, StopSignal};
use simdb_state::name::NetworkName;
use simdb_state::object::{Image as MadeFrom, Resources};
use simdb_state::place::Bind;

use super::archive::Owner;
use super::names::{DIRECTORY, IMAGE, IMAGE_ID, InstanceNames, Kind, LISTEN, Names, PUBLISHED, SPEC};

/// The shared memory of a server. The default of 64 MB is too little for a query that several processes work on.
const SHARED_MEMORY: i64 = 256 << 20;

/// What the daemon counts thousandths of a processor in.
pub(super) const NANOSECONDS: u64 = 1_000_000;

/// How often people are told whether a server answers, and how long after its start it need not.
const PROBED: Duration = Duration::from_secs(30);
const STARTS: Duration = Duration::from_mins(1);

/// An image that containers are made from.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// What tells it from all others of its daemon.
    pub(super) id: String,
    /// The name that it was asked for by, and what tells it from all others, also those of other daemons where it came from a registry.
    pub(super) name: MadeFrom,
    /// As whom its servers run by themselves: a name, or numbers.
    pub(super) account: String,
    /// As whom its programs run here: as the owner of the volume, where that is there already.
    pub(super) owner: Owner,
    /// Where it wants volumes, which simdb does not give it.
    pub(super) volumes: Vec<String>,
}

impl Image {
    /// Returns what every container has: no rights, and no volume that nobody asked for.
    fn host_config(&self) -> HostConfig {
        let volumes = self.volumes.iter().map(|path| (path.clone(), String::new()));
        HostConfig {
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            tmpfs: Some(volumes.collect()),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), "10m".to_owned()),
                    ("max-file".to_owned(), "3".to_owned()),
                ])),
            }),
            ..HostConfig::default()
        }
    }

    fn body(&self, labels: HashMap<String, String>, host_config: HostConfig) -> ContainerCreateBody {
        let Owner { user, group } = self.owner;
        ContainerCreateBody {
            image: Some(self.id.clone()),
            user: Some(format!("{user}:{group}")),
            env: Some(vec!["LC_ALL=C".to_owned()]),
            labels: Some(labels),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        }
    }
}

/// Makes the container through which the volume of a node is seen. It is never started.
pub(super) fn home(names: &Names, own: &InstanceNames, image: &Image) -> ContainerCreateBody {
    let labels = names.labels(Kind::Home, &own.node.to_string());
    let host_config = HostConfig {
        network_mode: Some("none".to_owned()),
        mounts: Some(vec![Mount {
            typ: Some(MountType::VOLUME),
            source: Some(own.base.clone()),
            target: Some(DIRECTORY.to_owned()),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                labels: Some(labels.clone()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        }]),
        ..image.host_config()
    };
    ContainerCreateBody {
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        ..image.body(labels, host_config)
    }
}

/// Makes the container of a server. What tells it from one that was made from something else is a label of it.
pub(super) fn server(
    names: &Names,
    own: &InstanceNames,
    image: &Image,
    network: &str,
    spec: &InstanceSpec,
) -> ContainerCreateBody {
    let mut labels = names.labels(Kind::Server, &own.node.to_string());
    labels.insert(LISTEN.to_owned(), spec.listen.to_string());
    labels.insert(IMAGE.to_owned(), image.name.to_string());
    labels.insert(IMAGE_ID.to_owned(), image.id.clone());
    labels.extend(spec.published.map(|at| (PUBLISHED.to_owned(), at.to_string())));
    let port = format!("{}/tcp", spec.listen.port);
    let host_config = HostConfig {
        network_mode: Some(network.to_owned()),
        restart_policy: Some(restart(RestartPolicyNameEnum::UNLESS_STOPPED)),
        shm_size: Some(SHARED_MEMORY),
        volumes_from: Some(vec![own.home.clone()]),
        port_bindings: spec
            .published
            .map(|at| HashMap::from([(port.clone(), Some(vec![binding(at)]))])),
        ..image.host_config()
    };
    let mut body = image.body(labels, host_config);
    body.exposed_ports = spec.published.map(|_| vec![port]);
    body.hostname = Some(own.alias.clone());
    body.working_dir = Some(DIRECTORY.to_owned());
    body.entrypoint = Some(vec![spec.command.program.clone()]);
    let arguments = spec.command.arguments.iter();
    body.cmd = Some(arguments.map(|argument| argument.render(DIRECTORY)).collect());
    let variables = spec.environment.iter();
    let variables = variables.map(|(name, value)| format!("{name}={}", value.render(DIRECTORY)));
    body.env.get_or_insert_default().extend(variables);
    let signal = match spec.stop.signal {
        StopSignal::Interrupt => "SIGINT",
        StopSignal::Terminate => "SIGTERM",
    };
    body.stop_signal = Some(signal.to_owned());
    body.stop_timeout = i64::try_from(spec.stop.within.as_secs()).ok();
    body.networking_config = Some(NetworkingConfig {
        endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint(own, spec.listen.host))])),
    });
    let digest = sha256(serde_json::to_vec(&serde_json::json!(body)).expect("bodies are plain data"));
    body.labels.get_or_insert_default().insert(SPEC.to_owned(), digest);
    // What follows can be changed as long as the container lives, or is of no meaning to the server.
    body.healthcheck = spec.probe.as_deref().map(probe);
    let host_config = body.host_config.get_or_insert_default();
    (host_config.memory, host_config.memory_swap) = memory(spec.resources);
    host_config.nano_cpus = cpus(spec.resources);
    body
}

/// Returns how much memory a container may take, and how much with what is swapped out: no more.
fn memory(resources: Resources) -> (Option<i64>, Option<i64>) {
    let memory = resources.memory.and_then(|memory| i64::try_from(memory).ok());
    (memory, memory)
}

fn cpus(resources: Resources) -> Option<i64> {
    i64::try_from(u64::from(resources.cpus?) * NANOSECONDS).ok()
}

/// Says what of a container changes while it lives: when it is started without anybody asking, and what it may take.
pub(super) fn update(policy: RestartPolicyNameEnum, resources: Resources) -> ContainerUpdateBody {
    let (memory, memory_swap) = memory(resources);
    ContainerUpdateBody {
        restart_policy: Some(restart(policy)),
        memory,
        memory_swap,
        nano_cpus: cpus(resources),
        ..ContainerUpdateBody::default()
    }
}

/// Lets the daemon tell people whether a server answers. An image that lacks the program tells nothing.
fn probe(command: &Command) -> HealthConfig {
    let arguments = command.arguments.iter().map(|argument| argument.render(DIRECTORY));
    let program = &command.program;
    let words: Vec<String> = std::iter::once(program.clone()).chain(arguments).collect();
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).ok();
    HealthConfig {
        test: Some(vec![
            "CMD-SHELL".to_owned(),
            format!("! command -v {program} >/dev/null || {}", words.join(" ")),
        ]),
        interval: nanoseconds(PROBED),
        timeout: nanoseconds(PROBED),
        start_period: nanoseconds(STARTS),
        ..HealthConfig::default()
    }
}

/// Says at which address of the daemon's machine a port is published.
fn binding(at: Bind) -> PortBinding {
    PortBinding {
        host_ip: Some(at.host.to_string()),
        host_port: Some(at.port.to_string()),
    }
}

/// Says where a server is in its network, and what the others call it.
pub(super) fn endpoint(own: &InstanceNames, host: IpAddr) -> EndpointSettings {
    EndpointSettings {
        aliases: Some(vec![own.alias.clone()]),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(host.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    }
}

/// Says when a container is started without anybody asking: also with the daemon, unless it was stopped.
pub(super) fn restart(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy {
        name: Some(name),
        maximum_retry_count: None,
    }
}

/// Where a container that goes when it ends has the files of a node from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'a> {
    /// It belongs to no node.
    None,
    /// The container that shows the volume.
    Home(&'a InstanceNames),
    /// The place of the volume on the daemon's machine, to be read. Unlike the volume it is not made where it is missing.
    Place(&'a InstanceNames, &'a str),
}

/// Makes the container of a task, question or trial, which goes when it ends. It is in the network of the machine, from which every
/// container can be reached.
pub(super) fn task(names: &Names, data: Data<'_>, image: &Image, script: &str) -> ContainerCreateBody {
    let (own, volumes_from, mounts) = match data {
        Data::None => (None, None, None),
        Data::Home(own) => (Some(own), Some(vec![own.home.clone()]), None),
        Data::Place(own, path) => {
            let mount = Mount {
                typ: Some(MountType::BIND),
                source: Some(path.to_owned()),
                target: Some(DIRECTORY.to_owned()),
                read_only: Some(true),
                ..Mount::default()
            };
            (Some(own), None, Some(vec![mount]))
        }
    };
    let host_config = HostConfig {
        network_mode: Some("host".to_owned()),
        auto_remove: Some(true),
        volumes_from,
        mounts,
        ..image.host_config()
    };
    let address = own.map(|own| own.node.to_string()).unwrap_or_default();
    ContainerCreateBody {
        entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
        cmd: Some(vec![script.to_owned()]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..image.body(names.labels(Kind::Task, &address), host_config)
    }
}

/// Makes a network. Nodes have the lower half of its addresses; containers of others get one of the upper half, the last
/// but one of which leads out of it.
pub(super) fn network(names: &Names, name: &NetworkName, subnet: Ipv4Net) -> NetworkCreateRequest {
    let upper = subnet
        .subnets(subnet.prefix_len() + 1)
        .ok()
        .and_then(|mut halves| halves.nth(1));
    NetworkCreateRequest {
        name: names.network(name),
        driver: Some("bridge".to_owned()),
        labels: Some(names.labels(Kind::Network, &format!("network.{name}"))),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                ip_range: upper.map(|upper| upper.to_string()),
                gateway: Some(gateway(subnet).to_string()),
                auxiliary_addresses: None,
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

/// Makes the network of an endpoint. Its members have any of its addresses: clients know them by name.
pub(super) fn endpoint_network(names: &Names, endpoint: &EndpointAddress, subnet: Ipv4Net) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: names.endpoint(endpoint),
        driver: Some("bridge".to_owned()),
        labels: Some(names.labels(Kind::Endpoint, &endpoint.to_string())),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

/// Returns the address of a network that leads out of it: nodes get addresses from the first one on.
fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.broadcast()) - 1)
}
