//! The real EC2, by the SDK of AWS.

mod convert;
mod failure;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{ProvideCredentials, Region};
use aws_sdk_ec2::types::{
    AttributeValue, BlockDeviceMapping, EbsBlockDevice, HttpTokensState, InstanceAttributeName,
    InstanceMarketOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    MarketType, ResourceType, SecureBlobAttributeValue, ShutdownBehavior, VolumeType,
};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use tokio::sync::OnceCell;

use crate::cloud::{
    Address, Answer, By, Cloud, Group, Image, Instance, Key, Launch, Network, NewGroup, Rule, Tags,
};
use crate::error::CloudError;
use convert::{filters, permission, specification, tags_of, to_tag};
use failure::failed;

/// How often the SDK asks in all, when it is told to ask later or gets no answer.
const ATTEMPTS: u32 = 6;

/// For how long one call may take with everything, and one try of it.
const CALL: Duration = Duration::from_secs(90);
const TRY: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// Which EC2, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The region.
    pub region: String,
    /// The profile of the files of the AWS command line; else what the environment says.
    pub profile: Option<String>,
    /// Another address of the API.
    pub endpoint: Option<String>,
}

/// EC2 in one region. Nothing is asked, and no credentials are looked for, before the first call.
#[derive(Debug)]
pub struct Ec2 {
    options: Options,
    client: OnceCell<Client>,
}

impl Ec2 {
    /// EC2 in a region.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Answer<&Client> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// Finds the credentials, as the command line of AWS does.
    async fn connect(&self) -> Answer<Client> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(TRY)
            .operation_timeout(CALL)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .region(Region::new(self.options.region.clone()));
        if let Some(profile) = &self.options.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let nobody = |why: String| CloudError::NoCredentials { why };
        let provider = config
            .credentials_provider()
            .ok_or_else(|| nobody("the environment names no way to them".to_owned()))?;
        let found = provider.provide_credentials().await;
        found.map_err(|error| nobody(failure::in_full(&error)))?;
        let mut own = aws_sdk_ec2::config::Builder::from(&config);
        if let Some(endpoint) = &self.options.endpoint {
            own = own.endpoint_url(endpoint);
        }
        Ok(Client::from_conf(own.build()))
    }
}

impl Cloud for Ec2 {
    async fn network(&self, subnet: Option<&str>) -> Answer<Option<Network>> {
        let client = self.client().await?;
        if let Some(subnet) = subnet {
            let asked = client.describe_subnets().subnet_ids(subnet).send().await;
            let found = match asked.map_err(failed("ec2:DescribeSubnets")) {
                Err(error) if error.is_not_found() => return Ok(None),
                found => found?,
            };
            return Ok(found.subnets().first().map(|subnet| Network {
                vpc: subnet.vpc_id().unwrap_or_default().to_owned(),
                account: subnet.owner_id().unwrap_or_default().to_owned(),
            }));
        }
        let default = convert::filter("is-default", "true");
        let asked = client.describe_vpcs().filters(default).send().await;
        let found = asked.map_err(failed("ec2:DescribeVpcs"))?;
        Ok(found.vpcs().first().map(|vpc| Network {
            vpc: vpc.vpc_id().unwrap_or_default().to_owned(),
            account: vpc.owner_id().unwrap_or_default().to_owned(),
        }))
    }

    async fn image(&self, id: &str) -> Answer<Option<Image>> {
        let client = self.client().await?;
        let asked = client.describe_images().image_ids(id).send().await;
        let found = match asked.map_err(failed("ec2:DescribeImages")) {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        Ok(found.images().first().map(|image| Image {
            name: image.name().unwrap_or_default().to_owned(),
            state: image.state().map_or("", |state| state.as_str()).to_owned(),
            root_device: image.root_device_name().unwrap_or("/dev/xvda").to_owned(),
        }))
    }

    async fn instances(&self, by: &By) -> Answer<Vec<Instance>> {
        let call = self
            .client()
            .await?
            .describe_instances()
            .set_filters(Some(filters(by, "instance-id", "client-token")));
        let mut pages = call.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(group) = pages.next().await {
            let group = group.map_err(failed("ec2:DescribeInstances"))?;
            found.extend(group.instances().iter().map(convert::instance));
        }
        Ok(found)
    }

    async fn groups(&self, by: &By) -> Answer<Vec<Group>> {
        let call = self
            .client()
            .await?
            .describe_security_groups()
            .set_filters(Some(filters(by, "group-id", "group-name")));
        let asked = call.into_paginator().items().send().try_collect().await;
        let found = asked.map_err(failed("ec2:DescribeSecurityGroups"))?;
        Ok(found.iter().map(convert::group).collect())
    }

    async fn keys(&self, by: &By) -> Answer<Vec<Key>> {
        let call = self.client().await?.describe_key_pairs();
        let call = call.set_filters(Some(filters(by, "key-pair-id", "key-name")));
        let found = call.send().await.map_err(failed("ec2:DescribeKeyPairs"))?;
        let keys = found.key_pairs().iter().map(|key| Key {
            id: key.key_pair_id().unwrap_or_default().to_owned(),
            name: key.key_name().unwrap_or_default().to_owned(),
            tags: tags_of(key.tags()),
        });
        Ok(keys.collect())
    }

    async fn addresses(&self, by: &By) -> Answer<Vec<Address>> {
        let call = self.client().await?.describe_addresses();
        let call = call.set_filters(Some(filters(by, "allocation-id", "public-ip")));
        let found = call.send().await.map_err(failed("ec2:DescribeAddresses"))?;
        let addresses = found.addresses().iter().map(|address| Address {
            id: address.allocation_id().unwrap_or_default().to_owned(),
            address: address.public_ip().and_then(|text| text.parse().ok()),
            given: address
                .instance_id()
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .zip(address.association_id().map(str::to_owned)),
            tags: tags_of(address.tags()),
        });
        Ok(addresses.collect())
    }

    async fn make_group(&self, group: &NewGroup) -> Answer<String> {
        let call = self
            .client()
            .await?
            .create_security_group()
            .group_name(&group.name)
            .description(&group.description)
            .vpc_id(&group.vpc)
            .tag_specifications(specification(ResourceType::SecurityGroup, &group.tags));
        let made = call
            .send()
            .await
            .map_err(failed("ec2:CreateSecurityGroup"))?;
        Ok(made.group_id().unwrap_or_default().to_owned())
    }

    async fn open(&self, group: &str, rules: &[Rule]) -> Answer<()> {
        let call = self
            .client()
            .await?
            .authorize_security_group_ingress()
            .group_id(group)
            .set_ip_permissions(Some(rules.iter().map(permission).collect()));
        let action = "ec2:AuthorizeSecurityGroupIngress";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn shut(&self, group: &str, rules: &[Rule]) -> Answer<()> {
        let call = self
            .client()
            .await?
            .revoke_security_group_ingress()
            .group_id(group)
            .set_ip_permissions(Some(rules.iter().map(permission).collect()));
        let action = "ec2:RevokeSecurityGroupIngress";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn delete_group(&self, id: &str) -> Answer<()> {
        let call = self.client().await?.delete_security_group().group_id(id);
        let action = "ec2:DeleteSecurityGroup";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn import_key(&self, name: &str, key: &str, tags: &Tags) -> Answer<()> {
        let call = self
            .client()
            .await?
            .import_key_pair()
            .key_name(name)
            .public_key_material(aws_sdk_ec2::primitives::Blob::new(key.as_bytes()))
            .tag_specifications(specification(ResourceType::KeyPair, tags));
        let action = "ec2:ImportKeyPair";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn delete_key(&self, name: &str) -> Answer<()> {
        let call = self.client().await?.delete_key_pair().key_name(name);
        let action = "ec2:DeleteKeyPair";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn launch(&self, launch: &Launch) -> Answer<Instance> {
        let call = run_instances(self.client().await?, launch);
        let made = call.send().await.map_err(failed("ec2:RunInstances"))?;
        let nothing = || CloudError::of("ec2:RunInstances", "Empty", "no machine was made", None);
        made.instances()
            .first()
            .map(convert::instance)
            .ok_or_else(nothing)
    }

    async fn start(&self, id: &str) -> Answer<()> {
        let call = self.client().await?.start_instances().instance_ids(id);
        call.send()
            .await
            .map(drop)
            .map_err(failed("ec2:StartInstances"))
    }

    async fn stop(&self, id: &str) -> Answer<()> {
        let call = self.client().await?.stop_instances().instance_ids(id);
        call.send()
            .await
            .map(drop)
            .map_err(failed("ec2:StopInstances"))
    }

    async fn terminate(&self, id: &str) -> Answer<()> {
        let call = self.client().await?.terminate_instances().instance_ids(id);
        let action = "ec2:TerminateInstances";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn change_kind(&self, id: &str, kind: &str) -> Answer<()> {
        let value = AttributeValue::builder().value(kind).build();
        let call = self.client().await?.modify_instance_attribute();
        let call = call.instance_id(id).instance_type(value);
        let action = "ec2:ModifyInstanceAttribute";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn user_data(&self, id: &str) -> Answer<Option<String>> {
        let call = self.client().await?.describe_instance_attribute();
        let call = call
            .instance_id(id)
            .attribute(InstanceAttributeName::UserData);
        let found = call
            .send()
            .await
            .map_err(failed("ec2:DescribeInstanceAttribute"))?;
        let encoded = found.user_data().and_then(|value| value.value());
        let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
        Ok(decoded.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn put_user_data(&self, id: &str, text: &str) -> Answer<()> {
        let blob = aws_sdk_ec2::primitives::Blob::new(text.as_bytes());
        let value = SecureBlobAttributeValue::builder().value(blob).build();
        let call = self.client().await?.modify_instance_attribute();
        let call = call.instance_id(id).user_data(value);
        let action = "ec2:ModifyInstanceAttribute";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn allocate(&self, tags: &Tags) -> Answer<Address> {
        let call = self
            .client()
            .await?
            .allocate_address()
            .domain(aws_sdk_ec2::types::DomainType::Vpc)
            .tag_specifications(specification(ResourceType::ElasticIp, tags));
        let made = call.send().await.map_err(failed("ec2:AllocateAddress"))?;
        Ok(Address {
            id: made.allocation_id().unwrap_or_default().to_owned(),
            address: made.public_ip().and_then(|text| text.parse().ok()),
            given: None,
            tags: tags.clone(),
        })
    }

    async fn associate(&self, address: &str, instance: &str) -> Answer<()> {
        let call = self
            .client()
            .await?
            .associate_address()
            .allocation_id(address)
            .instance_id(instance)
            .allow_reassociation(true);
        let action = "ec2:AssociateAddress";
        call.send().await.map(drop).map_err(failed(action))
    }

    async fn disassociate(&self, link: &str) -> Answer<()> {
        let call = self.client().await?.disassociate_address();
        let action = "ec2:DisassociateAddress";
        let done = call.association_id(link).send().await;
        done.map(drop).map_err(failed(action))
    }

    async fn release(&self, address: &str) -> Answer<()> {
        let call = self.client().await?.release_address();
        let done = call.allocation_id(address).send().await;
        done.map(drop).map_err(failed("ec2:ReleaseAddress"))
    }

    async fn tag(&self, ids: &[String], tags: &Tags) -> Answer<()> {
        let call = self
            .client()
            .await?
            .create_tags()
            .set_resources(Some(ids.to_vec()))
            .set_tags(Some(tags.iter().map(to_tag).collect()));
        call.send()
            .await
            .map(drop)
            .map_err(failed("ec2:CreateTags"))
    }

    async fn untag(&self, ids: &[String], keys: &[String]) -> Answer<()> {
        let tags = keys.iter().map(|key| convert::key(key)).collect();
        let call = self
            .client()
            .await?
            .delete_tags()
            .set_resources(Some(ids.to_vec()))
            .set_tags(Some(tags));
        call.send()
            .await
            .map(drop)
            .map_err(failed("ec2:DeleteTags"))
    }

    async fn console(&self, id: &str) -> Answer<String> {
        let call = self.client().await?.get_console_output().instance_id(id);
        let told = call.send().await.map_err(failed("ec2:GetConsoleOutput"))?;
        let bytes = STANDARD.decode(told.output().unwrap_or_default());
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }
}

type RunInstances = aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;

fn run_instances(client: &Client, launch: &Launch) -> RunInstances {
    let disk = EbsBlockDevice::builder()
        .volume_type(VolumeType::Gp3)
        .encrypted(true)
        .delete_on_termination(true)
        .set_volume_size(launch.disk_gib)
        .build();
    let disk = BlockDeviceMapping::builder()
        .device_name(&launch.root_device)
        .ebs(disk)
        .build();
    let metadata = InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .build();
    let mut call = client
        .run_instances()
        .client_token(&launch.token)
        .min_count(1)
        .max_count(1)
        .image_id(&launch.image)
        .instance_type(launch.kind.as_str().into())
        .block_device_mappings(disk)
        .metadata_options(metadata)
        .user_data(STANDARD.encode(&launch.user_data))
        .set_subnet_id(launch.subnet.clone())
        .set_key_name(launch.key.clone());
    for kind in [
        ResourceType::Instance,
        ResourceType::Volume,
        ResourceType::NetworkInterface,
    ] {
        call = call.tag_specifications(specification(kind, &launch.tags));
    }
    if launch.is_spot {
        let market = InstanceMarketOptionsRequest::builder()
            .market_type(MarketType::Spot)
            .build();
        let tags = specification(ResourceType::SpotInstancesRequest, &launch.tags);
        call = call
            .instance_market_options(market)
            .tag_specifications(tags);
    } else {
        call = call.instance_initiated_shutdown_behavior(ShutdownBehavior::Stop);
    }
    if !launch.group.is_empty() {
        call = call.security_group_ids(&launch.group);
    }
    if launch.is_trial {
        call = call.dry_run(true);
    }
    call
}
