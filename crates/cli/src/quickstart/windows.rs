//! PowerShell scripts for Windows 10 (1607 and later) and 11.
//!
//! Left alone, Windows offers MODP-1024 and SHA-1, and takes no host name for an address. So the script sets the
//! algorithms, and the gateway's certificate has every address as a dNSName too.
use super::profiles::{Login, Paperwork, Parts};
use data_encoding::BASE64;

/// With key and certificate, which go into the machine's store: that is where the built-in client looks.
pub(super) fn with_certificate(parts: &Parts<'_>, paper: &Paperwork) -> String {
    let container = BASE64.encode(&paper.modern);
    let password = quote(&paper.password);
    let body = format!(
        "# The user's key and certificate, into the machine's store.\n\
         $pfx = Join-Path $env:TEMP ('cygnet-' + [guid]::NewGuid() + '.p12')\n\
         [IO.File]::WriteAllBytes($pfx, [Convert]::FromBase64String(@'\n{container}\n'@))\n\
         try {{\n\
         \x20   $password = ConvertTo-SecureString -String {password} -AsPlainText -Force\n\
         \x20   Import-PfxCertificate -FilePath $pfx -CertStoreLocation Cert:\\LocalMachine\\My -Password $password | Out-Null\n\
         }} finally {{\n\
         \x20   Remove-Item -Force $pfx\n\
         }}\n\n\
         Add-VpnConnection -Name $name -ServerAddress $server -TunnelType IKEv2 -AllUserConnection `\n\
         \x20   -AuthenticationMethod MachineCertificate -MachineCertificateIssuerFilter $authority `\n\
         \x20   -EncryptionLevel Maximum{split} -Force\n",
        split = split(parts)
    );
    script(parts, "certificate", &body)
}

/// With a user name; Windows asks for the password at the first connection and keeps it.
pub(super) fn with_login(parts: &Parts<'_>, login: &Login) -> String {
    let body = format!(
        "# EAP-MSCHAPv2 with a name and a password of its own, not that of the Windows session.\n\
         $eap = [xml]@'\n{EAP}\n'@\n\n\
         Add-VpnConnection -Name $name -ServerAddress $server -TunnelType IKEv2 -AllUserConnection `\n\
         \x20   -AuthenticationMethod Eap -EapConfigXmlStream $eap -RememberCredential `\n\
         \x20   -EncryptionLevel Maximum{split} -Force\n\n\
         Write-Host {hint}\n",
        split = split(parts),
        hint = quote(&format!(
            "User name {}; the password is in login.txt. Windows asks for both at the first connection.",
            login.name
        )),
    );
    script(parts, "password", &body)
}

fn script(parts: &Parts<'_>, label: &str, body: &str) -> String {
    let state = parts.state;
    let mut text = format!(
        "#Requires -RunAsAdministrator\n\
         # VPN to {server}, made by cygnet quickstart. If Windows refuses to run it:\n\
         #   powershell -ExecutionPolicy Bypass -File THIS_FILE\n\
         $ErrorActionPreference = 'Stop'\n\
         $name = {name}\n\
         $server = {quoted}\n\n\
         # The authority that issued the gateway's certificate.\n\
         $authority = [Security.Cryptography.X509Certificates.X509Certificate2]::new([Convert]::FromBase64String(@'\n{ca}\n'@))\n\
         $store = [Security.Cryptography.X509Certificates.X509Store]::new('Root', 'LocalMachine')\n\
         $store.Open('ReadWrite')\n\
         $store.Add($authority)\n\
         $store.Close()\n\n\
         # A connection of that name is replaced.\n\
         Get-VpnConnection -Name $name -AllUserConnection -ErrorAction SilentlyContinue |\n\
         \x20   Remove-VpnConnection -AllUserConnection -Force\n\n\
         {body}\n\
         # AES-256-GCM, SHA-384 and P-384 instead of MODP-1024 and SHA-1, for IKE and for rekeying.\n\
         Set-VpnConnectionIPsecConfiguration -ConnectionName $name -AllUserConnection `\n\
         \x20   -EncryptionMethod GCMAES256 -IntegrityCheckMethod SHA384 -DHGroup ECP384 `\n\
         \x20   -CipherTransformConstants GCMAES256 -AuthenticationTransformConstants GCMAES256 -PfsGroup ECP384 -Force\n",
        server = state.name,
        name = quote(&format!("{} ({label})", state.name)),
        quoted = quote(&state.name),
        ca = BASE64.encode(&parts.authority.der),
    );
    // The built-in client adds a default route for IPv4 only.
    for route in state.routes.iter().filter(|route| *route != "0.0.0.0/0") {
        text.push_str(&format!(
            "Add-VpnConnectionRoute -ConnectionName $name -AllUserConnection -DestinationPrefix {} | Out-Null\n",
            quote(route)
        ));
    }
    text.push_str("Write-Host \"$name is there: Settings, Network & Internet, VPN\"\n");
    // Windows PowerShell reads scripts as UTF-8 only with a mark; it wants its own line ends in none.
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

/// Where not everything goes through the tunnel.
fn split(parts: &Parts<'_>) -> &'static str {
    if parts.state.routes.iter().any(|route| route == "0.0.0.0/0") { "" } else { " -SplitTunneling" }
}

/// A string that PowerShell takes as it is.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// EAP-MSCHAPv2 (type 26) as Windows configures it.
const EAP: &str = r#"<EapHostConfig xmlns="http://www.microsoft.com/provisioning/EapHostConfig">
  <EapMethod>
    <Type xmlns="http://www.microsoft.com/provisioning/EapCommon">26</Type>
    <VendorId xmlns="http://www.microsoft.com/provisioning/EapCommon">0</VendorId>
    <VendorType xmlns="http://www.microsoft.com/provisioning/EapCommon">0</VendorType>
    <AuthorId xmlns="http://www.microsoft.com/provisioning/EapCommon">0</AuthorId>
  </EapMethod>
  <Config xmlns="http://www.microsoft.com/provisioning/EapHostConfig">
    <Eap xmlns="http://www.microsoft.com/provisioning/BaseEapConnectionPropertiesV1">
      <Type>26</Type>
      <EapType xmlns="http://www.microsoft.com/provisioning/MsChapV2ConnectionPropertiesV1">
        <UseWinLogonCredentials>false</UseWinLogonCredentials>
      </EapType>
    </Eap>
  </Config>
</EapHostConfig>"#;
