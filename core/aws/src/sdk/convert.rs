//! Between the words of the SDK and ours.

use aws_sdk_ec2::types::{
    Filter, InstanceLifecycleType, InstanceStateName, IpPermission, IpRange, Ipv6Range,
    ResourceType, SecurityGroup, Tag, TagSpecification,
};

use crate::cloud::{By, Group, Instance, Rule, State, Tags};

pub(super) fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// The filters for what is looked for; ids and other names are called differently everywhere.
pub(super) fn filters(by: &By, id: &str, name: &str) -> Vec<Filter> {
    match by {
        By::Tags(tags) => {
            let filters = tags
                .iter()
                .map(|(key, value)| filter(format!("tag:{key}"), value));
            filters.collect()
        }
        By::Id(value) => vec![filter(id, value)],
        By::Name(value) | By::Token(value) => vec![filter(name, value)],
    }
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| {
        let key = tag.key()?.to_owned();
        Some((key, tag.value().unwrap_or_default().to_owned()))
    });
    pairs.collect()
}

pub(super) fn to_tag((key, value): (&String, &String)) -> Tag {
    Tag::builder().key(key).value(value).build()
}

pub(super) fn key(key: &str) -> Tag {
    Tag::builder().key(key).build()
}

pub(super) fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tags.iter().map(to_tag).collect()))
        .build()
}

pub(super) fn permission(rule: &Rule) -> IpPermission {
    let permission = IpPermission::builder()
        .ip_protocol(&rule.protocol)
        .from_port(rule.from)
        .to_port(rule.to);
    if rule.network.contains(':') {
        let range = Ipv6Range::builder().cidr_ipv6(&rule.network).build();
        permission.ipv6_ranges(range).build()
    } else {
        let range = IpRange::builder().cidr_ip(&rule.network).build();
        permission.ip_ranges(range).build()
    }
}

pub(super) fn group(group: &SecurityGroup) -> Group {
    let rules = group.ip_permissions().iter().flat_map(|permission| {
        let v4 = permission.ip_ranges().iter().map(IpRange::cidr_ip);
        let v6 = permission.ipv6_ranges().iter().map(Ipv6Range::cidr_ipv6);
        let rule = |network: &str| Rule {
            protocol: permission.ip_protocol().unwrap_or_default().to_owned(),
            from: permission.from_port().unwrap_or(-1),
            to: permission.to_port().unwrap_or(-1),
            network: network.to_owned(),
        };
        v4.chain(v6).flatten().map(rule).collect::<Vec<_>>()
    });
    Group {
        id: group.group_id().unwrap_or_default().to_owned(),
        name: group.group_name().unwrap_or_default().to_owned(),
        vpc: group.vpc_id().unwrap_or_default().to_owned(),
        rules: rules.collect(),
        tags: tags_of(group.tags()),
    }
}

pub(super) fn instance(instance: &aws_sdk_ec2::types::Instance) -> Instance {
    let text = |value: Option<&str>| value.filter(|text| !text.is_empty()).map(str::to_owned);
    let address = |value: Option<&str>| value.and_then(|text| text.parse().ok());
    let volumes = instance.block_device_mappings().iter();
    let interfaces = instance.network_interfaces().iter();
    let reason = instance.state_reason();
    Instance {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        state: state(instance.state().and_then(|state| state.name())),
        reason: text(reason.and_then(|reason| reason.message().or(reason.code())))
            .or_else(|| text(instance.state_transition_reason())),
        image: instance.image_id().unwrap_or_default().to_owned(),
        kind: instance
            .instance_type()
            .map_or("", |kind| kind.as_str())
            .to_owned(),
        subnet: text(instance.subnet_id()),
        key: text(instance.key_name()),
        is_spot: instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
        public: address(instance.public_ip_address()),
        private: address(instance.private_ip_address()),
        volumes: volumes
            .filter_map(|disk| text(disk.ebs()?.volume_id()))
            .collect(),
        interfaces: interfaces
            .filter_map(|interface| text(interface.network_interface_id()))
            .collect(),
        tags: tags_of(instance.tags()),
    }
}

/// A state that is not known yet is one on the way to another.
fn state(name: Option<&InstanceStateName>) -> State {
    match name.map(InstanceStateName::as_str) {
        Some("running") => State::Running,
        Some("stopping") => State::Stopping,
        Some("stopped") => State::Stopped,
        Some("shutting-down") => State::ShuttingDown,
        Some("terminated") => State::Terminated,
        Some(_) | None => State::Pending,
    }
}
