//! The Service in front of the gateway pods.

use api::names;
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{metadata_with, selector};
use crate::access::validate::Validated;

pub(super) fn build(access: &Validated) -> Service {
    let settings = &access.gateway.service;
    let protocol = if access.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Service {
        metadata: metadata_with(access, &settings.labels, &settings.annotations),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(access)),
            ports: Some(vec![ServicePort {
                name: Some(protocol.to_owned()),
                port: i32::from(names::GATEWAY_PORT),
                target_port: Some(IntOrString::String("http".to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some(protocol.to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
