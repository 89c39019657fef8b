//! Functions of IP addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::value::Value;

use super::{Arguments, Function, Result, Stop, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "cidrhost(prefix: string, number: number) -> string",
        "Returns an address of a network; a number below zero counts from its end.",
        ("cidrhost(\"10.12.112.0/20\", 16)", "\"10.12.112.16\""),
        cidrhost,
    ),
    function(
        "cidrnetmask(prefix: string) -> string",
        "Returns the mask of an IPv4 network.",
        ("cidrnetmask(\"172.16.0.0/12\")", "\"255.240.0.0\""),
        cidrnetmask,
    ),
    function(
        "cidrsubnet(prefix: string, bits: number, number: number) -> string",
        "Returns a subnet of a network, whose prefix is longer by some bits.",
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", "\"172.18.0.0/16\""),
        cidrsubnet,
    ),
    function(
        "cidrsubnets(prefix: string, bits: number...) -> list(string)",
        "Returns subnets of a network that follow each other, each with a prefix longer by some bits.",
        (
            "cidrsubnets(\"10.1.0.0/16\", 4, 8)",
            "[\"10.1.0.0/20\",\"10.1.16.0/24\"]",
        ),
        cidrsubnets,
    ),
];

/// A network: its first address in the lowest bits, and how long its prefix is.
#[derive(Clone, Copy)]
struct Network {
    first: u128,
    prefix: u32,
    /// How many bits an address has.
    width: u32,
}

impl Network {
    fn read(a: &Arguments<'_>) -> Result<Self> {
        let text = a.text(0)?;
        let wrong = || Stop::Argument(0, "a network such as 10.0.0.0/8 is required".to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let (bits, width) = match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let is_number = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u32 = prefix
            .parse()
            .ok()
            .filter(|p| is_number && *p <= width)
            .ok_or_else(wrong)?;
        let host = width - prefix;
        Ok(Self {
            first: bits
                .checked_shr(host)
                .map_or(0, |net| net.checked_shl(host).unwrap_or(0)),
            prefix,
            width,
        })
    }

    fn address(self, bits: u128) -> String {
        if self.width == 32 {
            Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX)).to_string()
        } else {
            Ipv6Addr::from(bits).to_string()
        }
    }

    /// Returns how many addresses the network has; nothing where there are more than can be counted.
    fn size(self) -> Option<u128> {
        1_u128.checked_shl(self.width - self.prefix)
    }
}

fn cidrhost(a: &Arguments<'_>) -> Result {
    let (network, number) = (Network::read(a)?, a.whole(1)?);
    let why = || {
        let bits = network.width - network.prefix;
        Stop::Argument(1, format!("a network of {bits} bits for hosts has no host {number}"))
    };
    let from_end = || {
        let back = number.unsigned_abs();
        let last = network.size().map_or(u128::MAX, |size| size - 1);
        last.checked_sub(back - 1)
    };
    let offset = if number < 0 {
        from_end().ok_or_else(why)?
    } else {
        number.unsigned_abs()
    };
    if network.size().is_some_and(|size| offset >= size) {
        return Err(why());
    }
    Ok(network.address(network.first.wrapping_add(offset)).into())
}

fn cidrnetmask(a: &Arguments<'_>) -> Result {
    let network = Network::read(a)?;
    if network.width != 32 {
        return Err(Stop::Argument(0, "only IPv4 networks have a mask".to_owned()));
    }
    let mask = u32::MAX.checked_shl(32 - network.prefix).unwrap_or(0);
    Ok(Ipv4Addr::from(mask).to_string().into())
}

fn longer(a: &Arguments<'_>, network: Network, argument: usize) -> Result<u32> {
    let bits = a.whole(argument)?;
    let prefix = u32::try_from(bits).ok().map(|bits| network.prefix.saturating_add(bits));
    prefix.filter(|prefix| *prefix <= network.width).ok_or_else(|| {
        let left = network.width - network.prefix;
        let why = format!("a prefix of {} can be extended by 0 to {left} bits", network.prefix);
        Stop::Argument(argument, why)
    })
}

fn cidrsubnet(a: &Arguments<'_>) -> Result {
    let network = Network::read(a)?;
    let prefix = longer(a, network, 1)?;
    let number = a.whole(2)?;
    let bits = prefix - network.prefix;
    let number = u128::try_from(number)
        .ok()
        .filter(|number| 1_u128.checked_shl(bits).is_none_or(|most| *number < most))
        .ok_or_else(|| Stop::Argument(2, format!("{bits} bits have no subnet {number}")))?;
    let first = network.first | number.checked_shl(network.width - prefix).unwrap_or(0);
    Ok(format!("{}/{prefix}", network.address(first)).into())
}

fn cidrsubnets(a: &Arguments<'_>) -> Result {
    let network = Network::read(a)?;
    let mut next = Some(network.first);
    let last = network
        .first
        .checked_add(network.size().map_or(u128::MAX, |size| size - 1));
    let mut subnets = Vec::new();
    for argument in 1..a.values.len() {
        let prefix = longer(a, network, argument)?;
        let size = 1_u128.checked_shl(network.width - prefix);
        let why = || Stop::Argument(argument, "the network has no room left for this subnet".to_owned());
        // A subnet starts at a multiple of its size.
        let start = match (next, size) {
            (Some(next), Some(size)) => next.checked_next_multiple_of(size).ok_or_else(why)?,
            (Some(0), None) => 0,
            _ => return Err(why()),
        };
        let end = size.map_or(Some(u128::MAX), |size| start.checked_add(size - 1));
        let end = end
            .filter(|end| last.is_some_and(|last| *end <= last))
            .ok_or_else(why)?;
        next = end.checked_add(1);
        subnets.push(Value::from(format!("{}/{prefix}", network.address(start))));
    }
    Ok(Value::list(subnets))
}
