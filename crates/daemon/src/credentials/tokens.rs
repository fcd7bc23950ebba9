//! PKCS#11 modules of the configuration, loaded when first needed; keys and certificates on their tokens.
use config::schema::daemon::credentials::Pkcs11Module;
use crypto::Secret;
use crypto::sign::{PublicKey, SignError, SignScheme};
use pki::{Certificate, Signer, Trust};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use token::{Module, Place, TokenError, TokenKey};

/// The modules. All calls may wait for hardware.
#[derive(Default)]
pub(crate) struct Tokens {
    configured: Mutex<Vec<Pkcs11Module>>,
    /// By path: a library is loaded once and stays.
    loaded: Mutex<BTreeMap<String, Module>>,
}

impl Tokens {
    /// The modules of new settings.
    pub(crate) fn configure(&self, modules: &[Pkcs11Module]) {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = modules.to_vec();
    }

    fn modules(&self, name: Option<&str>) -> Result<Vec<Module>, String> {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted: Vec<&Pkcs11Module> =
            configured.iter().filter(|module| name.is_none_or(|name| module.name == name)).collect();
        if wanted.is_empty() {
            return Err(match name {
                Some(name) => format!("there is no PKCS#11 module '{name}' (charon.plugins.pkcs11.modules)"),
                None => "there is no PKCS#11 module (charon.plugins.pkcs11.modules)".to_owned(),
            });
        }
        let mut out = Vec::new();
        let mut failures = Vec::new();
        for module in wanted {
            match self.load(module) {
                Ok(module) => out.push(module),
                Err(e) => failures.push(e.to_string()),
            }
        }
        if out.is_empty() { Err(failures.join("; ")) } else { Ok(out) }
    }

    fn load(&self, module: &Pkcs11Module) -> Result<Module, TokenError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(&module.path) {
            return Ok(known.clone());
        }
        // Signatures are made by several threads.
        let new = Module::load(&module.name, &module.path, true)?;
        loaded.insert(module.path.clone(), new.clone());
        Ok(new)
    }

    /// The certificate with a handle, DER.
    pub(crate) fn certificate(
        &self,
        handle: &[u8],
        slot: Option<u64>,
        module: Option<&str>,
    ) -> Result<Vec<u8>, String> {
        let place = Place { handle: handle.to_vec(), slot };
        self.first(module, |module| module.certificate(&place, None))
    }

    /// The private key with a handle.
    pub(crate) fn key(
        &self,
        handle: &[u8],
        slot: Option<u64>,
        module: Option<&str>,
        pin: &Secret,
    ) -> Result<TokenSigner, String> {
        let place = Place { handle: handle.to_vec(), slot };
        self.first(module, |module| module.key(&place, pin.clone())).map(TokenSigner)
    }

    fn first<T>(
        &self,
        name: Option<&str>,
        get: impl Fn(&Module) -> Result<T, TokenError>,
    ) -> Result<T, String> {
        let mut failures = Vec::new();
        for module in self.modules(name)? {
            match get(&module) {
                Ok(found) => return Ok(found),
                // A refused PIN is not tried elsewhere: it could lock a token that it does not belong to.
                Err(e @ TokenError::Login { .. }) => return Err(e.to_string()),
                Err(e) => failures.push(e.to_string()),
            }
        }
        Err(failures.join("; "))
    }

    /// Certificates that tokens show by themselves, of the modules that have `load_certs`; the second part are
    /// complaints.
    pub(crate) fn shown(&self) -> (Vec<(Certificate, Trust)>, Vec<String>) {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut found, mut complaints) = (Vec::new(), Vec::new());
        for module in configured.iter().filter(|module| module.load_certs) {
            match self.load(module).and_then(|module| module.certificates()) {
                Ok(certificates) => {
                    for (der, trusted) in certificates {
                        match Certificate::from_der(&der) {
                            // A CA must be called trusted by the token, as a token may carry whole chains.
                            Ok(c) if c.is_ca() && trusted => found.push((c, Trust::Ca)),
                            Ok(c) => found.push((c, Trust::None)),
                            Err(e) => {
                                complaints.push(format!("certificate on a token of '{}': {e}", module.name))
                            }
                        }
                    }
                }
                Err(e) => complaints.push(e.to_string()),
            }
        }
        (found, complaints)
    }
}

/// A key on a token, for signers.
pub(crate) struct TokenSigner(TokenKey);

impl Signer for TokenSigner {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, scheme: SignScheme, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(scheme, data).map_err(|_| SignError::Backend)
    }
}
